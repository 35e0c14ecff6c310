package policy

// MemFree returns how many bytes of memory the system can still give, swap space
// included. The error says that this system does not tell.
func MemFree() (uint64, error) { return memFree() }
