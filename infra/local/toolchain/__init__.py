"""Programs of the local platform, built from pinned Go modules: one go.mod a family, because families disagree on
the versions of what they share."""
