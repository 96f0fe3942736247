package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nixmesh/nixmesh/rollback"
)

// LocalLedger is the copy of the releases in the fleet's .nixmesh/releases. It
// serves where hosts are away; the hosts' records count.
type LocalLedger struct{ Dir string }

// Write stores a record with what is known of its outcomes.
func (l LocalLedger) Write(s *Stored) error {
	if l.Dir == "" {
		return nil
	}
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		return fmt.Errorf("write release: %w", err)
	}
	base := filepath.Join(l.Dir, fmt.Sprintf("%d.%.12s", s.Release.Number, s.Raw.Hash))
	outcomes, err := json.MarshalIndent(s.Outcomes, "", " ")
	if err != nil {
		return fmt.Errorf("write release: %w", err)
	}
	for _, f := range []struct {
		name string
		body []byte
	}{{base + ".json", s.Raw.Body}, {base + ".sig", []byte(s.Raw.Sig)}, {base + ".outcomes", append(outcomes, '\n')}} {
		if err := writeFile(f.name, f.body); err != nil {
			return fmt.Errorf("write release: %w", err)
		}
	}
	return nil
}

// Read adds the stored records to h.
func (l LocalLedger) Read(h *History, fleet string, verify Verifier) error {
	if l.Dir == "" {
		return nil
	}
	entries, err := os.ReadDir(l.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read releases: %w", err)
	}
	for _, e := range entries {
		base, ok := strings.CutSuffix(filepath.Join(l.Dir, e.Name()), ".json")
		if !ok {
			continue
		}
		body, err := os.ReadFile(base + ".json")
		if err != nil {
			return fmt.Errorf("read releases: %w", err)
		}
		sig, err := os.ReadFile(base + ".sig")
		if err != nil {
			return fmt.Errorf("read releases: %w", err)
		}
		raw := rollback.Record{Hash: hashOf(body), Body: body, Sig: string(sig)}
		h.add("", fleet, raw, verify)
		l.readOutcomes(h, base, raw.Hash)
	}
	return nil
}

// readOutcomes adds what is known locally; an unreadable file is as none.
func (l LocalLedger) readOutcomes(h *History, base, hash string) {
	b, err := os.ReadFile(base + ".outcomes")
	if err != nil {
		return
	}
	var outcomes map[string]Outcome
	if json.Unmarshal(b, &outcomes) != nil {
		return
	}
	for _, s := range h.stored {
		if s.Raw.Hash != hash {
			continue
		}
		for host, o := range outcomes {
			if _, known := s.Outcomes[host]; !known {
				s.Outcomes[host] = o
			}
		}
	}
}

// writeFile replaces a file in one step.
func writeFile(name string, body []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone where all went well
	if _, err := tmp.Write(body); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
