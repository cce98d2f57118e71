package pool

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// hostLoad tells whether the processors of this host have anything left to give.
type hostLoad struct {
	mu    sync.Mutex
	at    time.Time
	idle  uint64 // ticks since boot
	total uint64
	full  bool
}

// saturated looks at the time since the last look, 50 ms at least; false where the host does not tell.
func (l *hostLoad) saturated() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.at) < 50*time.Millisecond {
		return l.full
	}
	idle, total, ok := processorTicks()
	if !ok {
		return false
	}
	if now.Sub(l.at) < time.Second { // an older look says nothing of now
		l.full = total > l.total && (idle-l.idle)*20 < total-l.total // under 5 % idle
	}
	l.at, l.idle, l.total = now, idle, total
	return l.full
}

// processorTicks reads the first line of /proc/stat: "cpu user nice system idle iowait irq softirq steal ...".
func processorTicks() (idle, total uint64, ok bool) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, false
	}
	for i, field := range fields[1:9] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0, 0, false
		}
		total += n
		if i == 3 || i == 4 { // waiting for a disk is no work
			idle += n
		}
	}
	return idle, total, true
}
