// Some of the cases of benches/peers in Go: prints figures as they do; an echo server says its port instead,
// and serves for ever.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	switch name := os.Args[1]; {
	case strings.HasPrefix(name, "echo_"):
		echo()
	case name == "spawn_many_local":
		measure(30*10000, func() { spawnMany(30, 10000) })
	case name == "mpsc_bounded_1":
		measure(1000000, func() { channel(1) })
	case name == "mpsc_bounded_4":
		measure(1000000, func() { channel(4) })
	}
}

func measure(ops int, run func()) {
	cpu, start := cpuTime(), time.Now()
	run()
	wall, used := time.Since(start), cpuTime()-cpu
	fmt.Printf("ns=%f\ncpu ns=%f\n", float64(wall)/float64(ops), float64(used)/float64(ops))
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func spawnMany(rounds, count int) {
	for round := 0; round < rounds; round++ {
		var done sync.WaitGroup
		done.Add(count)
		for i := 0; i < count; i++ {
			go done.Done()
		}
		done.Wait()
	}
}

func channel(senders int) {
	each := 1000000 / senders
	messages := make(chan int, 128)
	for s := 0; s < senders; s++ {
		go func() {
			for i := 0; i < each; i++ {
				messages <- i
			}
		}()
	}
	sum := 0
	for i := 0; i < senders*each; i++ {
		sum += <-messages
	}
	if sum != senders*(each*(each-1)/2) {
		panic("a message is lost")
	}
}

func echo() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer connection.Close()
			buffer := make([]byte, 256)
			for {
				n, err := connection.Read(buffer)
				if err != nil {
					return
				}
				if _, err := connection.Write(buffer[:n]); err != nil {
					return
				}
			}
		}()
	}
}
