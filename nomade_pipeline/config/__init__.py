"""Configuration: `nomade.toml` and the environment become frozen, validated settings."""
