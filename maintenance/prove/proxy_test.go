package prove

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between clients and a server on the loopback interface, to cut them off
// from one another.
type proxy struct {
	address string
	mu      sync.Mutex
	conns   map[net.Conn]bool
}

// newProxy stands before the server at an address until the test ends.
func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: listener.Addr().String(), conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
	})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.mu.Lock()
			p.conns[client], p.conns[back] = true, true
			p.mu.Unlock()
			go p.pass(client, back)
			go p.pass(back, client)
		}
	}()
	return p
}

func (p *proxy) pass(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	p.drop(from, to)
}

func (p *proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
		_ = c.Close()
	}
}

// cut resets all connections, as a firewall does that has forgotten them. What was
// sent may have got through or not.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	clear(p.conns)
}

// dial connects through the proxy, whatever the address.
func (p *proxy) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, p.address)
}
