"""Parts of one ensemble, measured anywhere and at any time, put together again."""
