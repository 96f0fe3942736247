package rollback

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// lockHolder is the process that holds a flock on a file, by /proc/locks; ""
// where that does not tell.
func lockHolder(name string) string {
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return ""
	}
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		return ""
	}
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for _, line := range strings.Split(string(b), "\n") {
		// 1: FLOCK  ADVISORY  WRITE 1234 00:2d:5678 0 EOF
		f := strings.Fields(line)
		if len(f) >= 6 && f[1] == "FLOCK" && f[5] == want {
			return f[4]
		}
	}
	return ""
}

// switchHolderNote is switchLockHolder as the end of a sentence; "" when the
// lock is free by now.
func (h *helper) switchHolderNote() string {
	if holder := h.switchLockHolder(); holder != "" {
		return ": " + holder
	}
	return ""
}
