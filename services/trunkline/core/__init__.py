"""What Trunkline knows without any transport or runtime: pictures, specs, bundles, results, errors."""
