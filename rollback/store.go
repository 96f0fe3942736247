package rollback

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// Where a host keeps what the protocol knows. Names below /var survive
// reboots, those below /run do not.
const (
	stateDir     = "/var/lib/nixmesh"
	journalFile  = stateDir + "/journal.json"
	logDir       = stateDir + "/log"
	releasesDir  = stateDir + "/releases"
	revokedFile  = hostfacts.RevokedPath
	runDir       = "/run/nixmesh"
	shadowFile   = runDir + "/journal.json" // newer than the journal's, while the disk takes no writes
	journalLock  = runDir + "/journal.lock"
	gcrootsDir   = "/nix/var/nix/gcroots/nixmesh"
	unitDir      = "/run/systemd/system"
	profilesDir  = "/nix/var/nix/profiles"
	systemLink   = profilesDir + "/system"
	currentLink  = "/run/current-system"
	bootedLink   = "/run/booted-system"
	bootIDFile   = "/proc/sys/kernel/random/boot_id"
	switchLock   = "/run/nixos/switch-to-configuration.lock"
	lockWaitTime = 10 * time.Second // for STC's lock, after its unit was killed
)

var (
	// errNoRun says that this host never had a run.
	errNoRun = errors.New("no run on this host")
	// errConflict says that the journal is of another run, or in a phase that
	// does not allow the change: somebody else was first.
	errConflict = errors.New("journal does not allow this")
	// errUnreadable says that the journal's file is there and is no journal.
	errUnreadable = errors.New("the journal cannot be read")
)

// journals reads and changes the journal. Every access holds the journal's
// flock for milliseconds: never across a child process or a wait, so that the
// revert is not blocked by the activation which it has to kill.
type journals struct {
	files  FileSystem
	clock  Clock
	bootID string
}

// lock takes the journal's flock; leases are read and written under it too.
func (s *journals) lock() (func(), error) {
	if err := s.files.MkdirAll(runDir, 0o755); err != nil {
		return nil, fmt.Errorf("make %s: %w", runDir, err)
	}
	unlock, err := s.files.Lock(journalLock, true)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", journalLock, err)
	}
	return unlock, nil
}

// load reads the journal without the lock: it is replaced by rename, so a
// reader sees one whole version. errNoRun where there is none.
func (s *journals) load() (*Journal, error) {
	j, err := s.read(journalFile)
	if errors.Is(err, errNoRun) {
		return nil, err
	}
	if shadow := s.shadow(); shadow != nil && (j == nil || (shadow.Run == j.Run && shadow.Writes > j.Writes)) {
		return shadow, nil
	}
	return j, err
}

// shadow is the journal in /run, nil where there is none.
func (s *journals) shadow() *Journal {
	j, err := s.read(shadowFile)
	if err != nil {
		return nil
	}
	j.shadowed = true
	return j
}

func (s *journals) read(name string) (*Journal, error) {
	b, err := s.files.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoRun
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	j, err := decodeJournal(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUnreadable, name, err)
	}
	return j, nil
}

// of is load for one run; errConflict where the journal is another's.
func (s *journals) of(run string) (*Journal, error) {
	j, err := s.load()
	if err != nil {
		return nil, err
	}
	if j.Run != run {
		return nil, fmt.Errorf("%w: it is of run %s, not %s", errConflict, j.Run, run)
	}
	return j, nil
}

// change is the compare-and-set: under the lock, the journal has to be of this
// run and in one of the phases from; edit changes it, and to, if it is another
// phase than now, is entered. The journal as written is returned; with
// errConflict the journal as found.
func (s *journals) change(run string, from []Phase, to Phase, edit func(*Journal)) (*Journal, error) {
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	j, err := s.load()
	if err != nil {
		return nil, err
	}
	if j.Run != run {
		return j, fmt.Errorf("%w: it is of run %s, not %s", errConflict, j.Run, run)
	}
	if !slices.Contains(from, j.Phase) {
		return j, fmt.Errorf("%w: run %s is %s, not %v", errConflict, run, j.Phase, from)
	}
	if edit != nil {
		edit(j)
	}
	mayShadow := to == j.Phase || !needsDisk(to)
	if to != j.Phase {
		j.enter(to, s.bootID, s.now())
	}
	if to.Terminal() {
		j.Deadline = 0
	}
	return j, s.write(j, mayShadow)
}

// needsDisk lists the phases that a run enters only with a journal on the disk:
// the way forward, which a full disk may refuse. The way back, and the end of
// what is done, go on without: after a power cut the older phase on the disk
// leads to the same end, since profile and loader are touched in committing
// only.
func needsDisk(to Phase) bool {
	switch to {
	case PhaseRooted, PhaseArmed, PhaseActivating, PhaseVerifying, PhaseCommitting:
		return true
	}
	return false
}

// update is a change within phase.
func (s *journals) update(run string, phase Phase, edit func(*Journal)) (*Journal, error) {
	return s.change(run, []Phase{phase}, phase, edit)
}

// create opens a run, when allow accepts what the journal holds now (nil =
// nothing).
func (s *journals) create(j *Journal, allow func(now *Journal) error) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	now, err := s.load()
	if err != nil && !errors.Is(err, errNoRun) {
		return err
	}
	if err := allow(now); err != nil {
		return err
	}
	j.enter(PhaseRooted, s.bootID, s.now())
	if err := s.files.MkdirAll(stateDir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", stateDir, err)
	}
	return s.write(j, false)
}

// write replaces the journal. On a disk that takes no writes, a change that may
// be shadowed is kept in /run: the revert has to work there, too.
func (s *journals) write(j *Journal, mayShadow bool) error {
	j.Writes++
	b, err := j.encode()
	if err != nil {
		return err
	}
	b = append(b, '\n')
	diskErr := writeDurable(s.files, journalFile, b)
	if diskErr == nil {
		if exists(s.files, shadowFile) {
			return s.files.Remove(shadowFile)
		}
		return nil
	}
	if !mayShadow {
		return fmt.Errorf("write journal: %w", diskErr)
	}
	if err := writeVolatile(s.files, shadowFile, b); err != nil {
		return errors.Join(fmt.Errorf("write journal: %w", diskErr), err)
	}
	j.shadowed = true
	return nil
}

// now is the boot clock in seconds.
func (s *journals) now() float64 { return s.clock.Boot().Seconds() }
