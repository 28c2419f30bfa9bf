// One of three processes with a node of hashicorp/raft in it, its log in BoltDB; the one that leads makes the load.
// Built by hashicorp.ts from Debian's source packages. Prints "leads" when it does; then for each line
// "<outstanding> <value bytes> <warm s> <measured s>" on stdin: "begin", "end" and one line of JSON.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/ioutil"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// counter is the cheapest machine there can be: nothing of what it is given is kept.
type counter struct{ commands int64 }

func (c *counter) Apply(*raft.Log) interface{}         { c.commands++; return c.commands }
func (c *counter) Snapshot() (raft.FSMSnapshot, error) { return empty{}, nil }
func (c *counter) Restore(io.ReadCloser) error         { return nil }

type empty struct{}

func (empty) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (empty) Release()                             {}

func cpuMs() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(0, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e6
}

func main() {
	id := flag.Int("id", 0, "place in -addresses")
	addresses := flag.String("addresses", "", "of all nodes, with commas")
	directory := flag.String("directory", "", "")
	flag.Parse()
	all := strings.Split(*addresses, ",")

	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(all[*id])
	config.LogOutput = ioutil.Discard
	// More than by default: larger batches are what it gains most from.
	config.MaxAppendEntries = 1024
	store, err := raftboltdb.NewBoltStore(filepath.Join(*directory, "raft.db"))
	check(err)
	cache, err := raft.NewLogCache(4096, store)
	check(err)
	address, err := net.ResolveTCPAddr("tcp", all[*id])
	check(err)
	transport, err := raft.NewTCPTransport(all[*id], address, 3, 10*time.Second, ioutil.Discard)
	check(err)
	node, err := raft.NewRaft(config, &counter{}, cache, store, raft.NewInmemSnapshotStore(), transport)
	check(err)
	if *id == 0 {
		var members raft.Configuration
		for _, other := range all {
			members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(other), Address: raft.ServerAddress(other)})
		}
		check(node.BootstrapCluster(members).Error())
	}
	go func() {
		for leads := range node.LeaderCh() {
			if leads {
				fmt.Println("leads")
			}
		}
	}()
	jobs := bufio.NewScanner(os.Stdin)
	for jobs.Scan() {
		var outstanding, valueBytes int
		var warm, secs float64
		_, err := fmt.Sscan(jobs.Text(), &outstanding, &valueBytes, &warm, &secs)
		check(err)
		load(node, outstanding, valueBytes, warm, secs)
	}
}

func load(node *raft.Raft, outstanding int, valueBytes int, warm float64, secs float64) {
	var next, measuring, stopped int64
	latencies := make([][]float64, outstanding)
	var group sync.WaitGroup
	for slot := 0; slot < outstanding; slot++ {
		group.Add(1)
		go func(slot int) {
			defer group.Done()
			for atomic.LoadInt64(&stopped) == 0 {
				value := make([]byte, valueBytes)
				copy(value, fmt.Sprintf("%012d", atomic.AddInt64(&next, 1)))
				began := time.Now()
				check(node.Apply(value, 0).Error())
				if atomic.LoadInt64(&measuring) == 1 {
					latencies[slot] = append(latencies[slot], float64(time.Since(began))/1e6)
				}
			}
		}(slot)
	}
	time.Sleep(time.Duration(warm * 1e9))
	fmt.Println("begin")
	cpuBefore := cpuMs()
	began := time.Now()
	atomic.StoreInt64(&measuring, 1)
	time.Sleep(time.Duration(secs * 1e9))
	atomic.StoreInt64(&measuring, 0)
	elapsed := time.Since(began)
	cpu := cpuMs() - cpuBefore
	fmt.Println("end")
	atomic.StoreInt64(&stopped, 1)
	group.Wait()

	var all []float64
	for _, some := range latencies {
		all = append(all, some...)
	}
	sort.Float64s(all)
	at := func(share float64) float64 {
		if len(all) == 0 {
			return 0
		}
		return all[int(float64(len(all)-1)*share)]
	}
	line, err := json.Marshal(map[string]float64{
		"operations": float64(len(all)),
		"elapsedMs":  float64(elapsed) / 1e6,
		"cpuMs":      cpu,
		"p50Ms":      at(0.5),
		"p99Ms":      at(0.99),
		"p999Ms":     at(0.999),
		"maxMs":      at(1),
	})
	check(err)
	fmt.Println(string(line))
}
