package policy

// DiskFree returns how many bytes others than root can still write to the file system
// of a folder.
func DiskFree(dir string) (uint64, error) { return diskFree(dir) }
