"""`python -m langcell.cli ...`, which launchers need: `accelerate launch -m langcell.cli annotate ...`."""

from langcell.cli.commands import main

if __name__ == "__main__":
    main()
