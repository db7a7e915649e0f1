"""`python -m sdcpu` is `sdcpu`."""

from sdcpu.cli import main

if __name__ == "__main__":
    main()
