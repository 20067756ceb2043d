package lease

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed acquire.lua
var acquireSource string

//go:embed renew.lua
var renewSource string

//go:embed release.lua
var releaseSource string

// Each takes and returns what the header of its file says.
var (
	acquireScript = redis.NewScript(acquireSource)
	renewScript   = redis.NewScript(renewSource)
	releaseScript = redis.NewScript(releaseSource)
)

// grant is the answer to an acquisition: a token, or how long to wait.
type grant struct {
	token uint64        // 0: not granted
	wait  time.Duration // of the present holder's lease; negative: unknown
}

// store is where leases are kept. The interface is here for the tests of the
// keeper, whose fake time does not pass while a network is waited for.
//
// An error other than ErrLost means that there was no answer.
type store interface {
	acquire(ctx context.Context, nonce string, floor uint64) (grant, error)
	renew(ctx context.Context, token uint64, nonce string) error
	release(ctx context.Context, nonce string) error
}

// redisStore is the store that is used.
type redisStore struct {
	client   redis.UniversalClient
	key      string
	tokenKey string
	holder   string
	ttl      time.Duration
}

func (s *redisStore) acquire(ctx context.Context, nonce string, floor uint64) (grant, error) {
	res, err := acquireScript.Run(ctx, s.client, []string{s.key, s.tokenKey},
		nonce, s.holder, s.ttl.Milliseconds(), floor).Int64Slice()
	if err == nil && len(res) != 2 {
		err = fmt.Errorf("%d values from the script, want 2", len(res))
	}
	if err != nil {
		return grant{}, &Error{Op: "acquire", Key: s.key, Err: err}
	}
	if res[0] == 1 {
		return grant{token: uint64(res[1])}, nil
	}
	return grant{wait: time.Duration(res[1]) * time.Millisecond}, nil
}

func (s *redisStore) renew(ctx context.Context, token uint64, nonce string) error {
	ok, err := renewScript.Run(ctx, s.client, []string{s.key}, token, nonce, s.ttl.Milliseconds()).Int()
	return s.verdict("renew", ok, err)
}

func (s *redisStore) release(ctx context.Context, nonce string) error {
	ok, err := releaseScript.Run(ctx, s.client, []string{s.key}, nonce).Int()
	return s.verdict("release", ok, err)
}

func (s *redisStore) verdict(op string, ok int, err error) error {
	switch {
	case err != nil:
		return &Error{Op: op, Key: s.key, Err: err}
	case ok != 1:
		return ErrLost
	}
	return nil
}

// Info is what Redis says about a lease.
type Info struct {
	Holder string        // empty: nobody holds it
	Token  uint64        // of the present grant; 0: nobody holds it
	TTL    time.Duration // what is left of it
}

// Read asks Redis who holds the lease at key. It is for people and dashboards:
// what it says may be over when it is read.
func Read(ctx context.Context, client redis.UniversalClient, key string) (Info, error) {
	pipe := client.Pipeline()
	value, ttl := pipe.Get(ctx, key), pipe.PTTL(ctx, key)
	_, err := pipe.Exec(ctx)
	if value.Err() == redis.Nil {
		return Info{}, nil
	}
	if err != nil {
		return Info{}, &Error{Op: "read", Key: key, Err: err}
	}
	return parseInfo(value.Val(), ttl.Val()), nil
}

// parseInfo reads the value of a lease; a value of another form is no lease.
func parseInfo(value string, ttl time.Duration) Info {
	token, rest, ok := strings.Cut(value, " ")
	_, holder, ok2 := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(token, 10, 64)
	if !ok || !ok2 || err != nil {
		return Info{}
	}
	return Info{Holder: holder, Token: n, TTL: max(ttl, 0)}
}
