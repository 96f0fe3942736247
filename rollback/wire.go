package rollback

import (
	"encoding/json"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// The verbs of nixmesh-host: what the deployer may ask a host for over sudo.
// A verb takes at most ids of the form [a-z0-9-]{1,64} as arguments, one JSON
// request on stdin (at most 1 MiB, unknown fields refused), and answers with
// one JSON document on stdout. A refusal or failure is a Refusal on stdout
// with exit status 6 (refused, nothing changed) or 1 (failed).
const (
	VerbPreflight = "preflight" // PreflightRequest -> Preflight
	VerbLease     = "lease"     // lease take|renew|drop run|ledger: LeaseRequest -> LeaseAnswer
	VerbRecord    = "record"    // RecordRequest -> RecordAnswer
	VerbRoot      = "root"      // root RUN: RootRequest -> StatusAnswer
	VerbActivate  = "activate"  // activate RUN -> StatusAnswer
	VerbCommit    = "commit"    // commit RUN -> StatusAnswer
	VerbRevert    = "revert"    // revert RUN: RevertRequest -> StatusAnswer
	VerbStatus    = "status"    // status [--wait]: StatusRequest -> StatusAnswer
	VerbLog       = "log"       // log RUN [--follow]: the run's log as text
	VerbEnvoy     = "envoy"     // EnvoyRequest -> EnvoyAnswer: restarts an Envoy that is not the running system's
)

// Refusal is the answer of a verb that did not do what was asked.
type Refusal struct {
	Error string `json:"error"`          // what and where, one sentence
	Code  string `json:"code"`           // one of the Code constants
	Next  string `json:"next,omitempty"` // what to do now
}

// Codes of refusals.
const (
	CodeUsage     = "usage"
	CodeLeaseHeld = "lease-held" // another deployer holds the lease
	CodeNoLease   = "no-lease"   // a verb with RUN without that run's lease
	CodeBusy      = "busy"       // another run is not over: resolves itself
	CodePhase     = "phase"      // the journal is not in a phase that allows this
	CodeDrift     = "drift"      // the host does not run what the plan recorded
	CodeSignature = "signature"  // no deployer's signature over this toplevel
	CodeWrongHost = "wrong-host" // the toplevel is another host's, or another fleet's
	CodeGuard     = "guard"      // a guard refused the switch
	CodeOperator  = "needs-operator"
	CodeFailed    = "failed"
)

// Phase is a step of a run. Names keep their meaning for ever.
type Phase string

// The phases, as system-plane's state machine has them.
const (
	PhaseNone          Phase = "" // no run ever
	PhaseRooted        Phase = "rooted"
	PhaseArmed         Phase = "armed"
	PhaseActivating    Phase = "activating"
	PhaseVerifying     Phase = "verifying"
	PhaseCommitting    Phase = "committing"
	PhaseCommitted     Phase = "committed"
	PhaseRebooting     Phase = "rebooting"
	PhaseRollingBack   Phase = "rolling-back"
	PhaseRolledBack    Phase = "rolled-back"
	PhaseFailed        Phase = "failed"
	PhaseNeedsOperator Phase = "needs-operator"
)

// Terminal says whether a run in this phase is over.
func (p Phase) Terminal() bool {
	switch p {
	case PhaseNone, PhaseCommitted, PhaseRolledBack, PhaseFailed, PhaseNeedsOperator:
		return true
	}
	return false
}

// PreflightRequest is empty for now.
type PreflightRequest struct{}

// Preflight is what a host says about itself; nothing is changed to learn it.
type Preflight struct {
	Protocol          int               `json:"protocol"`
	Version           string            `json:"version"` // of the helper
	Hostname          string            `json:"hostname"`
	Fleet             string            `json:"fleet"` // of host.json, "" = no nixmesh yet
	Host              string            `json:"host"`
	System            string            `json:"system"`
	BootID            string            `json:"boot_id"`
	Current           string            `json:"current"` // target of /run/current-system
	Booted            string            `json:"booted"`
	Profile           string            `json:"profile"` // toplevel of the system profile
	ProfileGeneration int               `json:"profile_generation"`
	NixVersion        string            `json:"nix_version"`
	StoreFree         int64             `json:"store_free"` // bytes
	BootFree          int64             `json:"boot_free"`
	BootSize          int64             `json:"boot_size"`
	LoaderKind        string            `json:"loader_kind"`    // systemd-boot, grub, extlinux, "" = unknown
	LoaderDefault     string            `json:"loader_default"` // toplevel that boots next, "" = unread
	FailedUnits       []string          `json:"failed_units"`
	SwitchLock        string            `json:"switch_lock,omitempty"` // who holds STC's lock, "" = free
	Users             map[string]int    `json:"users"`                 // name -> uid of all users
	Journal           *JournalView      `json:"journal,omitempty"`
	Lease             *Lease            `json:"lease,omitempty"`
	Extra             map[string]string `json:"extra,omitempty"`
}

// Lease keeps other deployers out. Times are of the host's boot clock.
type Lease struct {
	Run     string  `json:"run"`
	Holder  string  `json:"holder"` // "anna@laptop"
	Reason  string  `json:"reason"` // "release 42"
	BootID  string  `json:"boot_id"`
	Renewed float64 `json:"renewed"` // seconds of CLOCK_BOOTTIME
	Age     float64 `json:"age"`     // seconds since the renewal, filled in answers
}

// LeaseRenewEvery and LeaseStaleAfter bound a lease without renewal.
const (
	LeaseRenewEvery = 10 * time.Second
	LeaseStaleAfter = 60 * time.Second
)

// LeaseRequest asks for, renews or drops a lease for Run.
type LeaseRequest struct {
	Run    string `json:"run"`
	Holder string `json:"holder"`
	Reason string `json:"reason"`
}

// LeaseAnswer is the lease now held. Taking the ledger also answers with the
// newest release records that the host has.
type LeaseAnswer struct {
	Lease   *Lease   `json:"lease,omitempty"`
	Records []Record `json:"records,omitempty"`
}

// Record is one release record with its signature, byte for byte, and this
// host's outcome of it if there is one.
type Record struct {
	Number  int             `json:"number"`
	Hash    string          `json:"hash"` // hex SHA-256 of Body
	Body    []byte          `json:"body"` // the record's bytes (base64 in JSON)
	Sig     string          `json:"sig"`  // armored SSHSIG, namespace nixmesh-release
	Outcome json.RawMessage `json:"outcome,omitempty"`
}

// RecordRequest stores a release record; its SSHSIG is checked against the
// operators of the host's own generation (or of NewToplevel at first contact).
// Keep bounds the records and release roots that stay.
type RecordRequest struct {
	Record      Record `json:"record"`
	Keep        int    `json:"keep"`
	NewToplevel string `json:"new_toplevel,omitempty"` // first contact only
}

// RecordAnswer lists the releases kept on the host.
type RecordAnswer struct {
	Kept []int `json:"kept"`
}

// RootRequest opens a run: NEW is rooted and the journal says rooted.
type RootRequest struct {
	Release     int      `json:"release"`
	ReleaseHash string   `json:"release_hash"`
	New         string   `json:"new"`            // toplevel store path
	Expect      string   `json:"expect"`         // what /run/current-system has to be, "" = as it is
	Profile     string   `json:"expect_profile"` // what the profile has to be, "" = as it is
	Signatures  []string `json:"signatures"`     // "NAME:BASE64" over Nix's fingerprint of New
	Accept      []string `json:"accept,omitempty"`
	First       bool     `json:"first,omitempty"` // first contact: deployers of NEW are asked
	Test        bool     `json:"test,omitempty"`  // never commit
	// Overrides of host.json's rollout for this run; zero = host.json's.
	Confirm         hostfacts.Duration `json:"confirm"`
	Settle          hostfacts.Duration `json:"settle"`
	ActivateTimeout hostfacts.Duration `json:"activate_timeout"`
}

// RevertRequest says why the deployer wants the old system back.
type RevertRequest struct {
	Reason string `json:"reason"`
}

// StatusRequest asks for the journal, and for the newest Records records.
type StatusRequest struct {
	Run     string `json:"run,omitempty"`
	Records int    `json:"records,omitempty"`
	// With --wait: answer when the journal's phase is none of While any more,
	// the verdict is in, or WaitFor has passed.
	While   []Phase            `json:"while,omitempty"`
	WaitFor hostfacts.Duration `json:"wait_for,omitempty"`
}

// StatusAnswer is the journal as everybody may see it.
type StatusAnswer struct {
	Protocol int          `json:"protocol"`
	Host     string       `json:"host"`
	Fleet    string       `json:"fleet"`
	BootID   string       `json:"boot_id"`
	Current  string       `json:"current"`
	Profile  string       `json:"profile"`
	Gen      int          `json:"generation"`
	Journal  *JournalView `json:"journal,omitempty"`
	Records  []Record     `json:"records,omitempty"`
	Units    []UnitState  `json:"units,omitempty"` // units of host.json now
	Envoy    *EnvoyState  `json:"envoy,omitempty"` // that runs, nil where none does
	State    string       `json:"state"`           // systemd: running, degraded, …
	Load     string       `json:"load"`
	MemUsed  float64      `json:"mem_used"` // share, 0 to 1
}

// UnitState is a unit of host.json as systemd has it.
type UnitState struct {
	Name    string `json:"name"`
	Service string `json:"service"`
	Active  string `json:"active"`
	Sub     string `json:"sub"`
}

// EnvoyState is the Envoy that runs on a host, whichever the running system names.
type EnvoyState struct {
	Binary    string `json:"binary"`          // as its command line has it
	Bootstrap string `json:"bootstrap"`       // the file that it started with
	Version   string `json:"version"`         // "" = its path does not say
	Stale     bool   `json:"stale,omitempty"` // the running system names another binary or file
	Wanted    string `json:"wanted"`          // version that the running system names
}

// EnvoyRequest asks for a restart, or only whether the running system's Envoy would
// start: what is asked before callers are sent elsewhere for it.
type EnvoyRequest struct {
	Check bool `json:"check,omitempty"`
}

// EnvoyAnswer is the Envoy before and after. Both are the same where the one that
// ran is the running system's.
type EnvoyAnswer struct {
	Was  *EnvoyState `json:"was,omitempty"`
	Runs *EnvoyState `json:"runs,omitempty"`
	Took float64     `json:"took"` // seconds that the restart took, 0 = there was none
}

// JournalView is the part of the journal that answers carry.
type JournalView struct {
	Run        string       `json:"run"`
	Release    int          `json:"release"`
	Phase      Phase        `json:"phase"`
	Old        string       `json:"old"`
	New        string       `json:"new"`
	Generation int          `json:"generation"` // profile generation after the end
	Verdict    *Verdict     `json:"verdict,omitempty"`
	Reason     string       `json:"reason,omitempty"` // why it ended so
	Outcome    string       `json:"outcome,omitempty"`
	LogTail    []string     `json:"log_tail,omitempty"`
	LeftFailed []string     `json:"left_failed,omitempty"` // units failing beyond the baseline after a revert
	Deadline   float64      `json:"deadline"`              // seconds until the host resolves this alone
	Times      []PhaseTime  `json:"times,omitempty"`
	Progress   *VerifyState `json:"progress,omitempty"`
}

// PhaseTime is when a phase began, in seconds of CLOCK_BOOTTIME.
type PhaseTime struct {
	Phase Phase   `json:"phase"`
	At    float64 `json:"at"`
}

// Verdict is the end of the host's own verification, or of a switch in which
// units failed.
type Verdict struct {
	Good    bool     `json:"good"`
	Reason  string   `json:"reason,omitempty"` // "api@v2: GET /healthz 503 for 90 s (18 of 18 checks)"
	Unit    string   `json:"unit,omitempty"`
	Service string   `json:"service,omitempty"`
	Log     []string `json:"log,omitempty"` // the last 8 lines of each of at most 3 other units that failed, "UNIT: " before them, and the unit's last 20
	Passed  int      `json:"passed"`        // conditions that held at the end
	Total   int      `json:"total"`
}

// VerifyState is how far verification is.
type VerifyState struct {
	Passed  int     `json:"passed"`
	Total   int     `json:"total"`
	Held    float64 `json:"held"` // seconds that everything has held
	Waiting string  `json:"waiting,omitempty"`
}
