"""What every managed cluster brings and a bare one lacks: name resolution, a default StorageClass, resource metrics."""
