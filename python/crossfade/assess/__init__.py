"""Assess: should this collection be migrated at all? Facts about both models on its own documents."""
