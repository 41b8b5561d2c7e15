"""The catalogue of architectures, how a network is built, and where its weights come from."""
