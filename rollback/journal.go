package rollback

import (
	"encoding/json"
	"fmt"
	"path"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// JournalSchema is the value of Journal.Schema that this version writes.
const JournalSchema = "nixmesh.journal/1"

// Journal is the current or last run of this host. The core fields keep their
// names and meaning for ever, so that every version can end the run of every
// other; fields that this version does not know survive its writes.
type Journal struct {
	Schema string `json:"schema"`
	Run    string `json:"run"`

	// Core.
	Phase    Phase   `json:"phase"`
	Old      string  `json:"old"`      // toplevel that ran before
	New      string  `json:"new"`      // toplevel to bring
	BootID   string  `json:"boot_id"`  // boot in which the phase was written
	Deadline float64 `json:"deadline"` // boot seconds by which the host resolves this alone
	Helper   string  `json:"helper"`   // executable that runs this run's verbs and units

	Release     int    `json:"release"`
	ReleaseHash string `json:"release_hash,omitempty"`
	Test        bool   `json:"test,omitempty"` // never commit

	// OldProfile and Generation are what the system profile was; after the
	// end, Generation is what it is.
	OldProfile string `json:"old_profile"`
	Generation int    `json:"generation"`

	Confirm         hostfacts.Duration `json:"confirm"`
	Settle          hostfacts.Duration `json:"settle"`
	ActivateTimeout hostfacts.Duration `json:"activate_timeout"`
	LastResort      string             `json:"last_resort"`
	Accept          []string           `json:"accept,omitempty"`

	Baseline map[string]UnitBaseline `json:"baseline,omitempty"`
	SSHPorts []string                `json:"ssh_ports,omitempty"` // addresses that sent an SSH banner before the switch
	Switch   *SwitchResult           `json:"switch,omitempty"`
	Verdict  *Verdict                `json:"verdict,omitempty"`
	Reason   string                  `json:"reason,omitempty"` // why it ends as it does

	// SwitchBoot is the boot in which NEW's STC was started, "" before that.
	SwitchBoot string `json:"switch_boot,omitempty"`

	Undo     bool        `json:"undo,omitempty"` // profile and loader have to go back to OLD
	Undone   bool        `json:"undone,omitempty"`
	Undos    int         `json:"undos,omitempty"`    // starts of the undo unit, counted by who starts it
	Reverts  int         `json:"reverts,omitempty"`  // starts of the revert
	Failures int         `json:"failures,omitempty"` // ends of the commit unit that were bad
	Again    bool        `json:"again,omitempty"`    // the commit unit was started once more
	Commit   CommitSteps `json:"commit"`

	// Writes counts the writes: of the journal on the disk and its shadow in
	// /run, the one with more is the newer.
	Writes int `json:"writes,omitempty"`

	LeftFailed []string    `json:"left_failed,omitempty"`
	LogTail    []string    `json:"log_tail,omitempty"`
	Times      []PhaseTime `json:"times"`

	// unknown holds the fields of a newer version, written back as they were.
	unknown map[string]json.RawMessage

	// shadowed says that this was read from the shadow: the disk is behind.
	shadowed bool
}

// UnitBaseline is a loaded unit as it was before the switch.
type UnitBaseline struct {
	Active     string `json:"active"`
	Invocation string `json:"invocation,omitempty"`
	Restarts   uint32 `json:"restarts,omitempty"`
}

// SwitchResult is how NEW's switch-to-configuration ended, in systemd's words.
type SwitchResult struct {
	Result string `json:"result"` // $SERVICE_RESULT
	Code   string `json:"code"`   // $EXIT_CODE: exited, killed, dumped
	Status string `json:"status"` // $EXIT_STATUS: number, or name of the signal
}

// CommitSteps are the sub-steps of the commit that are done. Each can be done
// again without harm.
type CommitSteps struct {
	Profile bool `json:"profile,omitempty"`
	Boot    bool `json:"boot,omitempty"`
	Loader  bool `json:"loader,omitempty"`
	Synced  bool `json:"synced,omitempty"`
	Root    bool `json:"root,omitempty"`
}

// enter sets the phase and notes when.
func (j *Journal) enter(p Phase, bootID string, at float64) {
	j.Phase, j.BootID = p, bootID
	j.Times = append(j.Times, PhaseTime{Phase: p, At: at})
}

// bootOld is the toplevel that was the boot default before the run: the
// profile's, which differs from Old only where drift was accepted.
func (j *Journal) bootOld() string {
	if j.OldProfile != "" {
		return j.OldProfile
	}
	return j.Old
}

// log is the file that collects the output of the run's units.
func (j *Journal) log() string { return logFile(j.Run) }

func logFile(run string) string { return path.Join(logDir, run+".log") }

// decodeJournal reads a journal of any version, field by field: one whose shape
// this version does not know is kept beside. It fails only where the core is
// not readable.
func decodeJournal(b []byte) (*Journal, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, fmt.Errorf("decode journal: %w", err)
	}
	j := &Journal{}
	if err := json.Unmarshal(b, j); err != nil {
		j = decodeFields(fields)
	}
	if j.Run == "" || j.Phase == PhaseNone {
		return nil, fmt.Errorf("decode journal: it names no run or no phase")
	}
	known, err := fieldsOf(j)
	if err != nil {
		return nil, err
	}
	for name, raw := range fields {
		if _, ok := known[name]; !ok {
			j.keep(name, raw)
		}
	}
	return j, nil
}

// decodeFields reads what it can; a field in a shape of a newer version is kept
// as it is.
func decodeFields(fields map[string]json.RawMessage) *Journal {
	j := &Journal{}
	for name, raw := range fields {
		was := *j
		one, err := json.Marshal(map[string]json.RawMessage{name: raw})
		if err == nil {
			err = json.Unmarshal(one, j)
		}
		if err != nil {
			*j = was
			j.keep(name, raw)
		}
	}
	return j
}

// keep remembers a field that this version cannot read.
func (j *Journal) keep(name string, raw json.RawMessage) {
	if j.unknown == nil {
		j.unknown = map[string]json.RawMessage{}
	}
	j.unknown[name] = raw
}

// encode writes the journal with the unknown fields it was read with.
func (j *Journal) encode() ([]byte, error) {
	if len(j.unknown) == 0 {
		return json.MarshalIndent(j, "", " ")
	}
	all, err := fieldsOf(j)
	if err != nil {
		return nil, err
	}
	for name, v := range j.unknown {
		if _, ok := all[name]; !ok {
			all[name] = v
		}
	}
	return json.MarshalIndent(all, "", " ")
}

func fieldsOf(j *Journal) (map[string]json.RawMessage, error) {
	b, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("encode journal: %w", err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("encode journal: %w", err)
	}
	return m, nil
}
