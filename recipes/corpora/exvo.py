EMOTIONS = ("Awe", "Excitement", "Amusement", "Awkwardness", "Fear", "Horror", "Distress", "Triumph", "Sadness", "Surprise")
COUNTRIES = ("China", "South Africa", "USA", "Venezuela")


def read_exvo(data_dir, audio):
    raise NotImplementedError
