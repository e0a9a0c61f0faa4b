"""Train, score and use Burst2Vec."""
