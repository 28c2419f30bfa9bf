// A closed loop of puts against etcd with its own client, the best one it has.
// Built by etcd.ts from Debian's source packages; prints "begin", "end" and one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/ioutil"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/etcd/clientv3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/grpclog"
)

const keys = 100000

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func dial(endpoint string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{endpoint},
		DialTimeout: 5 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithBlock()},
	})
	check(err)
	return client
}

// leader returns the endpoint that leads: clients on it save a hop, which is etcd's best case.
func leader(endpoints []string) string {
	for {
		for _, endpoint := range endpoints {
			client := dial(endpoint)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			status, err := client.Status(ctx, endpoint)
			cancel()
			client.Close()
			if err == nil && status.Leader == status.Header.MemberId {
				return endpoint
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func cpuMs() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(0, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e6
}

func main() {
	endpoints := flag.String("endpoints", "", "client addresses, with commas")
	outstanding := flag.Int("outstanding", 1, "puts under way")
	connections := flag.Int("connections", 1, "connections they are spread over")
	valueBytes := flag.Int("value-bytes", 64, "")
	reads := flag.Bool("reads", false, "linearizable gets in place of puts")
	fill := flag.Int64("fill", 0, "puts so many different keys and ends; nothing is measured")
	warm := flag.Float64("warm", 1, "seconds")
	secs := flag.Float64("secs", 3, "seconds")
	flag.Parse()
	clientv3.SetLogger(grpclog.NewLoggerV2(ioutil.Discard, ioutil.Discard, ioutil.Discard))

	endpoint := leader(strings.Split(*endpoints, ","))
	clients := make([]*clientv3.Client, *connections)
	for i := range clients {
		clients[i] = dial(endpoint)
	}
	padding := strings.Repeat("-", *valueBytes)
	var next, measuring, stopped int64
	latencies := make([][]float64, *outstanding)
	var group sync.WaitGroup
	for slot := 0; slot < *outstanding; slot++ {
		group.Add(1)
		go func(slot int) {
			defer group.Done()
			client := clients[slot%len(clients)]
			for atomic.LoadInt64(&stopped) == 0 {
				number := atomic.AddInt64(&next, 1)
				key := fmt.Sprintf("key-%06d", number%keys)
				if *fill > 0 {
					if number > *fill {
						return
					}
					key = fmt.Sprintf("key-%09d", number)
				}
				began := time.Now()
				var err error
				if *reads {
					_, err = client.Get(context.Background(), key)
				} else {
					value := fmt.Sprintf("%012d", number) + padding
					_, err = client.Put(context.Background(), key, value[:*valueBytes])
				}
				check(err)
				if atomic.LoadInt64(&measuring) == 1 {
					latencies[slot] = append(latencies[slot], float64(time.Since(began))/1e6)
				}
			}
		}(slot)
	}
	if *fill > 0 {
		group.Wait()
		return
	}
	time.Sleep(time.Duration(*warm * 1e9))
	fmt.Println("begin")
	cpuBefore := cpuMs()
	began := time.Now()
	atomic.StoreInt64(&measuring, 1)
	time.Sleep(time.Duration(*secs * 1e9))
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
