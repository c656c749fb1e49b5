"""What a result becomes besides a page: tables, playlists, label tracks, folders of copies."""
