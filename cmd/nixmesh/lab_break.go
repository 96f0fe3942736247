package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/lab"
)

func newLabBreakCmd(a *app) *cobra.Command {
	var f lab.Fault
	var loss string
	cmd := &cobra.Command{
		Use:   "break HOST FAULT...",
		Short: "Break a host on purpose",
		Example: `  nixmesh lab break app1 --power               cut the power for a second
  nixmesh lab break app1 --power --no-boot     and leave it off until nixmesh lab heal
  nixmesh lab break app1 --hang-switch         its next switch hangs
  nixmesh lab break app1 --slow 200ms --loss 20%
  nixmesh lab break app1 --clock +25h          its agent is a day ahead`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageErrorf("lab break needs one host and at least one fault, such as: nixmesh lab break app1 --power")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if loss != "" {
				percent, err := strconv.Atoi(strings.TrimSuffix(loss, "%"))
				if err != nil || percent < 0 || percent > 100 {
					return usageErrorf("loss %q is not a percentage such as 20%%", loss)
				}
				f.Loss = percent
			}
			if f == (lab.Fault{StayOff: f.StayOff}) {
				return usageErrorf("lab break needs a fault, such as --power. See: nixmesh lab break --help")
			}
			return runLabBreak(cmd.Context(), a, args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.Power, "power", false, "cut the power; it comes back after a second")
	flags.BoolVar(&f.StayOff, "no-boot", false, "with --power: stay off until nixmesh lab heal")
	flags.IntVar(&f.HangSwitch, "hang-switch", 0, "the next `N` switches hang (1 when no number is given: --hang-switch, --hang-switch=2)")
	flags.Lookup("hang-switch").NoOptDefVal = "1"
	flags.BoolVar(&f.CutSSH, "cut-ssh", false, "drop port 22, established connections too")
	flags.BoolVar(&f.FillStore, "fill-store", false, "leave no space in / (and /nix)")
	flags.BoolVar(&f.FillBoot, "fill-boot", false, "leave no space in /boot")
	flags.DurationVar(&f.Slow, "slow", 0, "delay every packet by this `DURATION`, each way")
	flags.DurationVar(&f.Clock, "clock", 0, "make the clock of the host's agent wrong by this `DURATION`, such as +25h")
	flags.StringVar(&loss, "loss", "", "drop this `PERCENT` of all packets, such as 20%")
	return cmd
}

func runLabBreak(ctx context.Context, a *app, host string, f lab.Fault) error {
	l, err := a.openLab(lab.Options{})
	if err != nil {
		return err
	}
	return labFailure(l.Break(ctx, host, f))
}

func newLabPartitionCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "partition HOST,HOST... HOST,HOST...",
		Short:   "Cut hosts off from other hosts",
		Example: `  nixmesh lab partition app1,app2 db1,db2`,
		Long: `Cut hosts off from other hosts: no packet passes between the two groups until nixmesh lab heal. This machine still
reaches all of them.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageErrorf("lab partition needs two groups, such as: nixmesh lab partition app1,app2 db1")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.openLab(lab.Options{})
			if err != nil {
				return err
			}
			return labFailure(l.Partition(cmd.Context(), strings.Split(args[0], ","), strings.Split(args[1], ",")))
		},
	}
}

func newLabHealCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "heal",
		Short: "End all faults and partitions, and boot the hosts that are off",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.openLab(lab.Options{})
			if err != nil {
				return err
			}
			return labFailure(l.Heal(cmd.Context()))
		},
	}
}
