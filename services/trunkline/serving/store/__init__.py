"""Model repositories behind a URL: objects in a store, mirrored in a folder that everything else reads."""
