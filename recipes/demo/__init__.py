"""The demo: train and use a small model on synthetic bursts."""
