"""`python -m lab.plugins.digitalocean ENGINE_ADDRESS`: serves until the engine ends it, and prints the port first."""

from lab.plugins.protocol.server import main

if __name__ == "__main__":
    main("lab.plugins.digitalocean")
