package policy

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memFree returns how much memory can still be had, swap space included.
func memFree() (uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return parseMemInfo(string(text))
}

// parseMemInfo reads /proc/meminfo, whose numbers are KiB.
func parseMemInfo(text string) (uint64, error) {
	found := 0
	var sum uint64
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "MemAvailable:" && f[0] != "SwapFree:" {
			continue
		}
		kb, err := strconv.ParseUint(f[1], 10, 53)
		if err != nil {
			return 0, fmt.Errorf("/proc/meminfo: %w", err)
		}
		sum += kb * 1024
		found++
	}
	if found == 0 {
		return 0, fmt.Errorf("/proc/meminfo: %w", errUnknown)
	}
	return sum, nil
}
