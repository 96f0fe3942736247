package rollback

import "fmt"

// The reserve is room on the disk for the way back: OLD's activation writes
// accounts, keys and sudo's rules into /etc again, and on a full disk would
// leave the host without them (seen). It is taken when a run is armed.
const (
	reserveFile = stateDir + "/reserve"
	reserveSize = 8 << 20
)

// takeReserve takes the reserve; a disk without that much room refuses the
// switch.
func (h *helper) takeReserve() error {
	if err := h.Files.Reserve(reserveFile, reserveSize); err != nil {
		h.freeReserve()
		return fmt.Errorf("keep %d MiB free for the way back: %w", reserveSize>>20, err)
	}
	return nil
}

// freeReserve gives the room to whoever needs it now.
func (h *helper) freeReserve() {
	if !exists(h.Files, reserveFile) {
		return
	}
	if err := h.Files.Remove(reserveFile); err != nil {
		h.note("free the reserve: %v", err)
	}
}
