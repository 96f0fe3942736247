package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/rollback"
)

// RecordSchema is the schema of release records that this version writes.
const RecordSchema = "nixmesh.release/1"

// RecordNamespace is the SSHSIG namespace of release records.
const RecordNamespace = "nixmesh-release"

// Kinds of releases.
const (
	ReleaseSystem   = "system"
	ReleaseRollback = "rollback"
	ReleaseMeshOnly = "mesh" // toplevels stay as they are
)

// Release is what the whole fleet should run. It never changes once it is
// signed; how each host came out of it is kept apart (Outcome).
type Release struct {
	Schema       string                 `json:"schema"`
	Number       int                    `json:"number"`
	Parent       string                 `json:"parent"` // hex SHA-256 of the previous record, "" for the first
	Fleet        string                 `json:"fleet"`
	Kind         string                 `json:"kind"`
	Restores     int                    `json:"restores,omitempty"` // release whose contents a rollback brings back
	By           string                 `json:"by"`
	Message      string                 `json:"message,omitempty"`
	Time         time.Time              `json:"time"`
	Spec         string                 `json:"spec,omitempty"` // hex SHA-256 of the fleet's HCL files
	Git          *Git                   `json:"git,omitempty"`
	Inputs       map[string]string      `json:"inputs,omitempty"` // flake input -> revision
	Nixmesh      string                 `json:"nixmesh"`
	LabOverrides []string               `json:"lab_overrides,omitempty"`
	Risks        []string               `json:"risks,omitempty"` // accepted with --accept
	LedgerHosts  []string               `json:"ledger_hosts"`
	Hosts        map[string]ReleaseHost `json:"hosts"`
	Mesh         *ReleaseMesh           `json:"mesh,omitempty"` // nil: the fleet had no CA
}

// ReleaseHost is one host of a release. Hosts that are neither planned nor the
// same were not asked, and are carried with what they run.
type ReleaseHost struct {
	Toplevel string `json:"toplevel"`
	Was      string `json:"was,omitempty"`
	Planned  bool   `json:"planned"`
	Same     bool   `json:"same,omitempty"` // compared, and it ran this already
	// Module is the hash of the compiled host that Toplevel was built from, ""
	// where that is not known.
	Module string `json:"module,omitempty"`
}

// Git says which commit the spec came from.
type Git struct {
	Revision string `json:"revision"`
	Dirty    bool   `json:"dirty"`
}

// Outcome is how one host came out of a release.
type Outcome struct {
	Release    string   `json:"release"` // hash of the record
	Run        string   `json:"run"`
	End        string   `json:"end"` // committed, rolled-back, failed, needs-operator
	Generation int      `json:"generation"`
	Reason     string   `json:"reason,omitempty"`
	LogTail    []string `json:"log_tail,omitempty"`
}

// encode is the record's bytes: what is hashed, signed and stored.
func (r *Release) encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode release: %w", err)
	}
	return append(b, '\n'), nil
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Stored is a release with its exact bytes, signature, and what hosts said of
// their ends.
type Stored struct {
	Release  *Release
	Raw      rollback.Record
	Outcomes map[string]Outcome // by host, as far as they were asked
}

// readRecord decodes a record and checks its hash.
func readRecord(raw rollback.Record) (*Stored, error) {
	if got := hashOf(raw.Body); raw.Hash != "" && got != raw.Hash {
		return nil, fmt.Errorf("read release %d: content has hash %.12s, not %.12s", raw.Number, got, raw.Hash)
	}
	raw.Hash = hashOf(raw.Body)
	var r Release
	if err := json.Unmarshal(raw.Body, &r); err != nil {
		return nil, fmt.Errorf("read release %d: %w", raw.Number, err)
	}
	raw.Number = r.Number
	return &Stored{Release: &r, Raw: raw, Outcomes: map[string]Outcome{}}, nil
}

// Planned lists the planned hosts by name.
func (s *Stored) Planned() []string {
	var names []string
	for name, h := range s.Release.Hosts {
		if h.Planned {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Complete says whether every planned host committed. Hosts that did not say
// anything count as not committed.
func (s *Stored) Complete() bool {
	for _, name := range s.Planned() {
		if s.Outcomes[name].End != string(rollback.PhaseCommitted) {
			return false
		}
	}
	return true
}

// State is the release's end in words for a table.
func (s *Stored) State() string {
	planned := s.Planned()
	done, back := 0, 0
	for _, name := range planned {
		switch s.Outcomes[name].End {
		case string(rollback.PhaseCommitted):
			done++
		case string(rollback.PhaseRolledBack):
			back++
		}
	}
	switch {
	case done == len(planned):
		return "complete"
	case done == 0 && back > 0:
		return "rolled back"
	}
	return fmt.Sprintf("%d of %d hosts", done, len(planned))
}

// ReleaseView is a release as JSON shows it: the record, and how hosts ended.
type ReleaseView struct {
	*Release
	Hash     string             `json:"hash"`
	State    string             `json:"state"`
	Outcomes map[string]Outcome `json:"outcomes"`
}

// View is the release for a program.
func (s *Stored) View() ReleaseView {
	return ReleaseView{Release: s.Release, Hash: s.Raw.Hash, State: s.State(), Outcomes: s.Outcomes}
}
