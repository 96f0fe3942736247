package rollback

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// The services of a run; their unit is nixmesh-KIND-RUN.service.
const (
	kindActivate = "activate" // NEW's STC test, then switched
	kindVerify   = "verify"   // watches NEW, writes the verdict
	kindCommit   = "commit"   // profile, loader; then commit-failed
	kindUndo     = "undo"     // profile and loader back; then the revert
	kindRevert   = "revert"   // OLD's STC test
	kindFallback = "fallback" // the same without any code of ours
	kindClose    = "close"    // clears up behind the run
)

// The dead-man timers of a run. At least one is scheduled from armed to a
// terminal phase; each starts a service that starts the revert.
const (
	timerA = "dead-a" // armed to the end of activation
	timerB = "dead-b" // end of activation to commit
	timerC = "dead-c" // commit, undo, revert
)

var runKinds = []string{kindActivate, kindVerify, kindCommit, kindUndo, kindRevert, kindFallback, kindClose, timerA, timerB, timerC}

// Times of the units. Those that an operator sets are in host.json.
const (
	commitTimeout   = 300 * time.Second
	revertTimeout   = 180 * time.Second
	fallbackTimeout = 180 * time.Second
	// deployerGrace is the deployer's, to prove a fresh connection after a
	// late verdict; timers A and B run this much longer than the host's work.
	deployerGrace = 30 * time.Second
	// timerCSpan outlives one start of the commit or undo unit.
	timerCSpan = commitTimeout + 30*time.Second
	// revertSpan outlives the revert unit and its fallback.
	revertSpan = revertTimeout + fallbackTimeout + 30*time.Second
)

func unitName(kind, run string) string  { return "nixmesh-" + kind + "-" + run + ".service" }
func timerName(kind, run string) string { return "nixmesh-" + kind + "-" + run + ".timer" }

// ofRun says whether a unit belongs to the run; verification passes those over.
func ofRun(unit, run string) bool {
	return strings.HasPrefix(unit, "nixmesh-") && (strings.HasSuffix(unit, "-"+run+".service") || strings.HasSuffix(unit, "-"+run+".timer"))
}

// ofCheck says whether a unit runs a check once; what became of it is known to
// who asked, and is no state of the host.
func ofCheck(unit string) bool {
	return strings.HasPrefix(unit, hostfacts.CheckUnitPrefix) && isService(unit)
}

func isService(unit string) bool { return strings.HasSuffix(unit, ".service") }

// unitFile is one unit of a run as text.
type unitFile struct {
	name string
	text string
}

// unitFiles renders the services of a run. DESIGN.md, "The run's units", says
// why each setting is there.
func unitFiles(j *Journal, systemctl string) []unitFile {
	us := func(kind string) string { return j.Helper + " host " + kind + " " + j.Run }
	startRevert := systemctl + " start --no-block " + unitName(kindRevert, j.Run)
	service := func(kind string, timeout time.Duration, unit, service []string) unitFile {
		lines := append([]string{
			"[Unit]",
			"Description=nixmesh run " + j.Run + ": " + kind,
			"DefaultDependencies=no",
			"IgnoreOnIsolate=yes",
			"Conflicts=shutdown.target",
			"Before=shutdown.target",
			"CollectMode=inactive-or-failed",
			"StartLimitIntervalSec=0",
		}, unit...)
		lines = append(lines, "", "[Service]", "Type=oneshot",
			fmt.Sprintf("TimeoutStartSec=%d", int(timeout.Seconds())),
			"TimeoutStopSec=10", "KillMode=control-group")
		if logs(kind) {
			lines = append(lines, "StandardOutput=append:"+j.log(), "StandardError=append:"+j.log())
		}
		return unitFile{unitName(kind, j.Run), strings.Join(append(lines, service...), "\n") + "\n"}
	}
	calm := "OOMScoreAdjust=-900"
	files := []unitFile{
		service(kindActivate, j.ActivateTimeout.D(), nil, []string{
			"Environment=NIXOS_INSTALL_BOOTLOADER=0",
			"ExecStart=" + j.New + stcPath + " test",
			"ExecStopPost=" + us(verbSwitched),
		}),
		service(kindVerify, j.Confirm.D()+deployerGrace, nil, []string{calm, "ExecStart=" + us(verbVerify)}),
		service(kindCommit, commitTimeout, nil, []string{calm,
			"ExecStart=" + us(verbCommitRun), "ExecStopPost=" + us(verbCommitFailed)}),
		service(kindUndo, commitTimeout, nil, []string{calm,
			"ExecStart=" + us(verbUndo), "ExecStopPost=" + startRevert}),
		service(kindRevert, revertTimeout, []string{"OnFailure=" + unitName(kindFallback, j.Run)},
			[]string{calm, "ExecStart=" + us(verbRevertRun)}),
		fallbackUnit(j, systemctl, service),
		service(kindClose, 2*time.Minute, nil, []string{calm, "ExecStart=" + us(verbReconcile)}),
	}
	for _, t := range []string{timerA, timerB, timerC} {
		files = append(files, service(t, 30*time.Second, nil, []string{calm, "ExecStart=" + startRevert}))
	}
	return files
}

// logs says whether a unit's output goes to the run's log. The last ways back
// do not depend on it: systemd does not start a unit whose log cannot be
// opened, and an STC that cannot write panics.
func logs(kind string) bool {
	switch kind {
	case kindFallback, kindClose, timerA, timerB, timerC:
		return false
	}
	return true
}

// fallbackUnit is OLD's STC and nothing of ours. When it fails, the host
// reboots into OLD, unless the operator chose to hold it for a person.
func fallbackUnit(j *Journal, systemctl string, service func(kind string, timeout time.Duration, unit, service []string) unitFile) unitFile {
	unit := []string{"OnSuccess=" + unitName(kindClose, j.Run)}
	if j.LastResort == "hold" {
		unit = append(unit, "OnFailure="+unitName(kindClose, j.Run))
	} else {
		unit = append(unit, "FailureAction=reboot-force")
	}
	body := []string{"OOMScoreAdjust=-900", "Environment=NIXOS_NO_CHECK=1", "Environment=NIXOS_INSTALL_BOOTLOADER=0",
		// The failed revert would make OLD's STC exit 4, and the host reboot.
		"ExecStartPre=-" + systemctl + " reset-failed " + unitName(kindRevert, j.Run),
		"ExecStart=" + j.Old + stcPath + " test"}
	for _, b := range j.Baseline {
		if b.Active == "failed" { // STC says 4 when any unit is failed, and one was before us
			body = append(body, "SuccessExitStatus=4")
			break
		}
	}
	return service(kindFallback, fallbackTimeout, unit, body)
}

// writeUnits puts the run's units into /run, where STC does not touch them and
// a reboot removes them, and makes systemd read them.
func (h *helper) writeUnits(ctx context.Context, j *Journal) error {
	systemctl, err := h.tool("systemctl", j.Old, j.New)
	if err != nil {
		return err
	}
	for _, dir := range []string{unitDir, logDir} {
		if err := h.Files.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", dir, err)
		}
	}
	if !exists(h.Files, j.log()) { // a disk that has no room for it refuses the switch
		if err := h.Files.Write(j.log(), nil, 0o644); err != nil {
			return fmt.Errorf("make log: %w", err)
		}
	}
	for _, u := range unitFiles(j, systemctl) {
		if err := writeVolatile(h.Files, unitDir+"/"+u.name, []byte(u.text)); err != nil {
			return err
		}
	}
	return h.withSystemd(ctx, func(s Systemd) error { return s.Reload(ctx) })
}

// arm starts a dead-man timer of the run and notes the deadline in the
// journal's memory; the caller writes it.
func (h *helper) arm(ctx context.Context, run, timer string, after time.Duration) (deadline float64, err error) {
	err = h.withSystemd(ctx, func(s Systemd) error { return s.StartTimer(ctx, timerName(timer, run), after) })
	return h.journals.now() + after.Seconds(), err
}

func (h *helper) disarm(ctx context.Context, run, timer string) error {
	return h.withSystemd(ctx, func(s Systemd) error { return s.Stop(ctx, timerName(timer, run)) })
}

func (h *helper) start(ctx context.Context, run, kind string) error {
	return h.withSystemd(ctx, func(s Systemd) error { return s.Start(ctx, unitName(kind, run)) })
}
