package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// There is no Traefik where these tests run: only what its files say can be looked at.

// traefikStatic is as much of Traefik's static configuration as ours has.
type traefikStatic struct {
	EntryPoints map[string]struct {
		Address   string
		Transport struct {
			RespondingTimeouts struct {
				ReadTimeout time.Duration `yaml:"readTimeout"`
				IdleTimeout time.Duration `yaml:"idleTimeout"`
			} `yaml:"respondingTimeouts"`
		}
	} `yaml:"entryPoints"`
	ServersTransport struct {
		ForwardingTimeouts struct {
			DialTimeout           time.Duration `yaml:"dialTimeout"`
			ResponseHeaderTimeout time.Duration `yaml:"responseHeaderTimeout"`
		} `yaml:"forwardingTimeouts"`
	} `yaml:"serversTransport"`
	Providers struct {
		File struct {
			Filename string
			Watch    bool
		}
	}
	Log struct{ Level string }
}

// traefikDynamic is as much of the dynamic configuration as the recipes have.
type traefikDynamic struct {
	HTTP struct {
		Routers map[string]struct {
			EntryPoints []string `yaml:"entryPoints"`
			Rule        string
			Service     string
		}
		Services map[string]struct {
			LoadBalancer struct {
				Strategy       string
				PassHostHeader bool `yaml:"passHostHeader"`
				Sticky         *struct {
					Cookie struct {
						Name, Path string
						HTTPOnly   bool   `yaml:"httpOnly"`
						SameSite   string `yaml:"sameSite"`
					}
				}
				HealthCheck struct {
					Path              string
					Interval, Timeout time.Duration
				} `yaml:"healthCheck"`
				Servers []struct{ URL string }
			} `yaml:"loadBalancer"`
		}
	}
}

// decodeYAML refuses keys that into does not have.
func decodeYAML(t *testing.T, path string, into any) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := yaml.NewDecoder(f)
	in.KnownFields(true)
	if err := in.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestTraefik_Files(t *testing.T) {
	t.Parallel()
	var static traefikStatic
	decodeYAML(t, "../deploy/traefik/traefik.yml", &static)
	heartbeat := serveDuration(t, "--ping-interval") + serveDuration(t, "--ping-timeout")
	if got := static.ServersTransport.ForwardingTimeouts.ResponseHeaderTimeout; got <= heartbeat {
		t.Errorf("a poll is given %v, want more than %v", got, heartbeat)
	}
	for name, entry := range static.EntryPoints {
		if got := entry.Transport.RespondingTimeouts.ReadTimeout; got <= heartbeat {
			t.Errorf("%s: readTimeout is %v, want more than %v", name, got, heartbeat)
		}
	}
	if file := filepath.Base(static.Providers.File.Filename); !slices.Contains([]string{"cookie.yml", "ip-hash.yml", "websocket-only.yml"}, file) {
		t.Errorf("traefik.yml reads %s, which is no recipe", file)
	}
	for sticky, strategy := range map[string]string{"cookie": "", "ip-hash": "hrw", "websocket-only": "p2c"} {
		t.Run(sticky, func(t *testing.T) {
			var c traefikDynamic
			decodeYAML(t, "../deploy/traefik/"+sticky+".yml", &c)
			router := c.HTTP.Routers["dynamicio"]
			for _, entry := range router.EntryPoints {
				if _, ok := static.EntryPoints[entry]; !ok {
					t.Errorf("traefik.yml has no entry point %q", entry)
				}
			}
			if !strings.HasPrefix(router.Rule, "PathRegexp(`^"+regexp.QuoteMeta(serveDefault(t, "--path"))+"(/") {
				t.Errorf("the rule is %s", router.Rule)
			}
			if got := strings.Contains(router.Rule, "!Query(`transport`, `polling`)"); got != (sticky == "websocket-only") {
				t.Errorf("polling is refused: %v", got)
			}
			service, ok := c.HTTP.Services[router.Service]
			lb := service.LoadBalancer
			if !ok || len(lb.Servers) != 3 || !lb.PassHostHeader || lb.HealthCheck.Path != "/readyz?exclude=redis" {
				t.Errorf("the service is %+v", service)
			}
			if lb.Strategy != strategy || (lb.Sticky != nil) != (sticky == "cookie") {
				t.Errorf("strategy %q, sticky %+v", lb.Strategy, lb.Sticky)
			}
			for _, server := range lb.Servers {
				if !strings.HasPrefix(server.URL, "http://10.0.0.") || !strings.HasSuffix(server.URL, ":8080") {
					t.Errorf("a server is %s", server.URL)
				}
			}
		})
	}
}
