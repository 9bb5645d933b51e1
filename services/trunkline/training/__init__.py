"""Everything that needs torch: exporting backbones, training heads. Serving never imports this package."""
