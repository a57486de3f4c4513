"""The same figures by several plot libraries, each from its package as the registries have it now."""
