// Go's net/http, one transport, as many goroutines as streams.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type job struct {
	URL           string   `json:"url"`
	CA            string   `json:"ca"`
	Topic         string   `json:"topic"`
	Authorization string   `json:"authorization"`
	Tokens        []string `json:"tokens"`
	Count         int      `json:"count"`
	Streams       int      `json:"streams"`
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func cpu() time.Duration {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func main() {
	var work job
	content, err := os.ReadFile(os.Args[len(os.Args)-1])
	must(err)
	must(json.Unmarshal(content, &work))
	root, err := os.ReadFile(work.CA)
	must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2: true,
	}}

	push := func(tokens []string, tasks int) int64 {
		var next, delivered int64
		var group sync.WaitGroup
		for task := 0; task < tasks; task++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for {
					index := atomic.AddInt64(&next, 1) - 1
					if index >= int64(len(tokens)) {
						return
					}
					request, err := http.NewRequest("POST", work.URL+"/3/device/"+tokens[index], strings.NewReader("{}"))
					must(err)
					request.Header.Set("authorization", work.Authorization)
					request.Header.Set("apns-topic", work.Topic)
					request.Header.Set("apns-expiration", "1800000000")
					answer, err := client.Do(request)
					must(err)
					io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
					if answer.StatusCode == 200 {
						atomic.AddInt64(&delivered, 1)
					}
				}
			}()
		}
		group.Wait()
		return delivered
	}

	push(work.Tokens[:1], 1)
	push(work.Tokens, work.Streams)
	due := make([]string, work.Count)
	for index := range due {
		due[index] = work.Tokens[index%len(work.Tokens)]
	}
	start, used := time.Now(), cpu()
	delivered := push(due, work.Streams)
	report, err := json.Marshal(map[string]any{
		"seconds":     time.Since(start).Seconds(),
		"cpu_seconds": (cpu() - used).Seconds(),
		"delivered":   delivered,
	})
	must(err)
	fmt.Println(string(report))
}
