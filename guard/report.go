package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// ReportPath is where the host's guard says how the table is.
const ReportPath = "/run/nixmesh/guard.json"

// Schema is the value of Report.Schema that this version writes.
const Schema = "nixmesh.guard/1"

// maxReport is more than a report ever takes.
const maxReport = 16 << 10

// Report is what a host's guard saw since it was started. It is not proof
// against root of the host, who may change the table as well.
type Report struct {
	Schema   string    `json:"schema"`
	Table    string    `json:"table"`           // hash in the comment of the table that is loaded, "" = none is
	Since    time.Time `json:"since"`           // when this guard was started
	Loaded   time.Time `json:"loaded"`          // when the table was loaded last, by whom ever
	Copy     bool      `json:"copy"`            // whether a second one acts, which nobody but the guard can remove
	Apart    string    `json:"apart,omitempty"` // why there is no copy though there shall be one, "" = there is
	Restored int       `json:"restored"`        // how often the first had been changed or removed
	Last     *Restore  `json:"last,omitempty"`  // the last time
	Counts   Counts    `json:"counts"`          // since Since; what the last second before a removal counted is lost
	Error    string    `json:"error,omitempty"` // why the table could not be loaded, "" = it is
}

// Restore is one time that the table was put back.
type Restore struct {
	At time.Time `json:"at"`
	// By is the program that had changed it, as the kernel names it; "" where
	// it did not say.
	By string `json:"by,omitempty"`
	// Took is from the kernel's message to the loaded table, in microseconds.
	Took int64 `json:"took_us"`
}

// Counts are the packets that the table refused; one refused connection is one,
// and more where the caller sends again.
type Counts struct {
	Undeclared   uint64 `json:"undeclared"`    // to a mesh name or to Envoy, by who declared no such upstream
	AppDenied    uint64 `json:"app_denied"`    // to a service's port, past the mesh
	EgressDenied uint64 `json:"egress_denied"` // off the host, by a service with egress = "declared"
	Squatted     uint64 `json:"squatted"`      // answers from a port of Envoy or of a service by another user
	Outside      uint64 `json:"outside"`       // to a service's port, from another machine
	Plaintext    uint64 `json:"plaintext"`     // let through: to the port of a service with mtls = "permissive"
}

// byName are the counts by the names of the table's counters.
func (c *Counts) byName() map[string]*uint64 {
	return map[string]*uint64{
		"undeclared": &c.Undeclared, "app_denied": &c.AppDenied, "egress_denied": &c.EgressDenied,
		"squatted": &c.Squatted, "outside": &c.Outside, "plaintext": &c.Plaintext,
	}
}

// add gives the sum of both.
func (c Counts) add(more Counts) Counts {
	counts := more.byName()
	for name, count := range c.byName() {
		*count += *counts[name]
	}
	return c
}

// silence is how long a guard that runs may say nothing: it touches its report with
// each look at the table.
const silence = 5 * time.Second

// ErrSilent is returned for a report of a guard that says nothing any more.
var ErrSilent = errors.New("the guard of this host has ceased to look at the kernel's table")

// ReadReport reads the report of this host's guard; fs.ErrNotExist where it has
// not written one since the boot, ErrSilent where it is an old one.
func ReadReport(path string) (*Report, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the guard's report: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxReport))
	if err != nil {
		return nil, fmt.Errorf("read the guard's report: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the guard's report: %w", err)
	}
	if time.Since(info.ModTime()) > silence {
		return nil, fmt.Errorf("%w: its report is of %s", ErrSilent, info.ModTime().UTC().Format(time.DateTime))
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read the guard's report %s: %w", path, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("the guard's report %s is %q, want %q", path, r.Schema, Schema)
	}
	return &r, nil
}

// write replaces the report in one step, so that nobody reads half of one.
func (r *Report) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the guard's report: %w", err)
	}
	next := filepath.Join(filepath.Dir(path), ".guard.json.next")
	if err := os.WriteFile(next, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the guard's report: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write the guard's report: %w", err)
	}
	return nil
}
