"""Where trainings run: `gans.launchers.<name>.launch`."""
