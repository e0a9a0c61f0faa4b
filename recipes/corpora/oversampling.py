def oversample(train, tasks, max_repeats, seed):
    raise NotImplementedError
