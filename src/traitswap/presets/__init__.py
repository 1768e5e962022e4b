"""Named settings, one TOML file each. Copy one, change it, and give its path to `--preset`."""
