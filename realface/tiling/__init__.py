"""Windows over a map, blended: any callable, map to map; knows no network."""
