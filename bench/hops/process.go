package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticks of the kernel's clock in a second, as Linux tells them to programs.
const ticks = 100

// cpuOf is the time that processes have used of the CPU.
func cpuOf(pids []int) (time.Duration, error) {
	total := 0
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		words := strings.Fields(rest)
		for _, i := range []int{11, 12} { // utime, stime
			n, err := strconv.Atoi(words[i])
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return time.Duration(total) * time.Second / ticks, nil
}
