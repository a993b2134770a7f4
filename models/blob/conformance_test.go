package blob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/blob"
)

// conform runs a test against every kind of store. files lists what is really there, unfinished writes included.
func conform(t *testing.T, test func(t *testing.T, s blob.Store, files func(t *testing.T) []string)) {
	t.Helper()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s, files := b.open(t)
			test(t, s, files)
		})
	}
}

func put(t *testing.T, s blob.Store, key, body string) {
	t.Helper()
	w, err := s.Create(t.Context(), key)
	require.NoError(t, err)
	_, err = io.WriteString(w, body)
	require.NoError(t, err)
	require.NoError(t, w.Commit())
}

func get(t *testing.T, s blob.Store, key string) string {
	t.Helper()
	o, err := s.Open(t.Context(), key)
	require.NoError(t, err)
	b, err := io.ReadAll(o)
	require.NoError(t, err)
	require.NoError(t, o.Close())
	require.EqualValues(t, len(b), o.Size)
	return string(b)
}

func keys(t *testing.T, s blob.Store, prefix string) []string {
	t.Helper()
	found := []string{}
	for o, err := range s.List(t.Context(), prefix) {
		require.NoError(t, err)
		found = append(found, o.Key)
	}
	return found
}

func TestWriteRead(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, s blob.Store, files func(t *testing.T) []string) {
		before := time.Now().Add(-2 * time.Second)
		w, err := s.Create(t.Context(), "a/b/c.ndjson")
		require.NoError(t, err)
		for range 3 {
			n, err := io.WriteString(w, "line\n")
			require.NoError(t, err)
			require.Equal(t, 5, n)
		}
		_, err = s.Size(t.Context(), "a/b/c.ndjson")
		requireKind(t, models.KindNotFound, err)
		require.Empty(t, keys(t, s, ""), "nothing is visible before Commit")

		require.NoError(t, w.Commit())
		require.Equal(t, "line\nline\nline\n", get(t, s, "a/b/c.ndjson"))
		size, err := s.Size(t.Context(), "a/b/c.ndjson")
		require.NoError(t, err)
		require.EqualValues(t, 15, size)
		for o, err := range s.List(t.Context(), "") {
			require.NoError(t, err)
			require.Equal(t, blob.Info{Key: "a/b/c.ndjson", Size: 15, ModTime: o.ModTime}, o)
			require.WithinRange(t, o.ModTime, before, time.Now().Add(2*time.Second))
			require.Equal(t, time.UTC, o.ModTime.Location())
		}

		// The end of a write is final.
		w.Abort()
		require.Error(t, w.Commit())
		_, err = w.Write([]byte("x"))
		require.Error(t, err)
		require.Equal(t, "line\nline\nline\n", get(t, s, "a/b/c.ndjson"))
		require.Equal(t, []string{"a/b/c.ndjson"}, files(t))
	})
}

func TestEmptyObject(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, s blob.Store, _ func(t *testing.T) []string) {
		put(t, s, "empty", "")
		require.Empty(t, get(t, s, "empty"))
		r, err := s.ReadRange(t.Context(), "empty", 0, -1)
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Empty(t, b)
		require.NoError(t, r.Close())
	})
}

func TestSeek(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, s blob.Store, _ func(t *testing.T) []string) {
		put(t, s, "k", "0123456789")
		o, err := s.Open(t.Context(), "k")
		require.NoError(t, err)
		defer func() { require.NoError(t, o.Close()) }()
		require.NoError(t, iotest.TestReader(o, []byte("0123456789")))
		end, err := o.Seek(0, io.SeekEnd)
		require.NoError(t, err)
		require.EqualValues(t, 10, end, "http.ServeContent learns the size so")
	})
}

func TestAbortLeavesNothing(t *testing.T) {
	t.Parallel()
	sizes := map[string]int{"nothing written": 0, "buffered": 10, "several parts": 20 << 20}
	ends := map[string]func(t *testing.T, w blob.Writer, cancel func()){
		"abort": func(_ *testing.T, w blob.Writer, _ func()) { w.Abort() },
		"cancel then commit": func(t *testing.T, w blob.Writer, cancel func()) {
			cancel()
			require.ErrorIs(t, w.Commit(), context.Canceled)
		},
		"cancel then write": func(t *testing.T, w blob.Writer, cancel func()) {
			cancel()
			_, err := w.Write([]byte("x"))
			require.ErrorIs(t, err, context.Canceled)
			w.Abort()
			w.Abort()
		},
	}
	for size, n := range sizes {
		for end, stop := range ends {
			t.Run(size+"/"+end, func(t *testing.T) {
				t.Parallel()
				conform(t, func(t *testing.T, s blob.Store, files func(t *testing.T) []string) {
					put(t, s, "dir/kept", "old")
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					for _, key := range []string{"dir/kept", "dir/new", "other/new"} {
						w, err := s.Create(ctx, key)
						require.NoError(t, err)
						_, err = w.Write(make([]byte, n))
						require.NoError(t, err)
						stop(t, w, cancel)
						require.Error(t, w.Commit())
						ctx, cancel = context.WithCancel(t.Context())
						defer cancel()
					}
					require.Equal(t, "old", get(t, s, "dir/kept"))
					require.Equal(t, []string{"dir/kept"}, files(t))
				})
			})
		}
	}
}

func TestCancelledBeforeCreate(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, s blob.Store, files func(t *testing.T) []string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		put(t, s, "k", "v")
		_, err := s.Create(ctx, "new")
		require.ErrorIs(t, err, context.Canceled)
		_, err = s.Open(ctx, "k")
		require.ErrorIs(t, err, context.Canceled)
		_, err = s.Size(ctx, "k")
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, s.Delete(ctx, "k"), context.Canceled)
		require.ErrorIs(t, s.DeletePrefix(ctx, "k"), context.Canceled)
		require.ErrorIs(t, s.Ping(ctx), context.Canceled)
		_, err = s.Sweep(ctx, time.Now())
		require.ErrorIs(t, err, context.Canceled)
		for _, err := range s.List(ctx, "") {
			require.ErrorIs(t, err, context.Canceled)
		}
		require.Equal(t, []string{"k"}, files(t))
	})
}

func TestConcurrentWritersOfOneKey(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, s blob.Store, files func(t *testing.T) []string) {
		const writers, size = 8, 3 << 20
		bodies := map[string]bool{}
		open := make([]blob.Writer, writers)
		for i := range open {
			w, err := s.Create(t.Context(), "same/key")
			require.NoError(t, err)
			open[i] = w
			bodies[string(bytes.Repeat([]byte{"abcdefgh"[i]}, size))] = true
		}
		var wg sync.WaitGroup
		for i, w := range open[1:] {
			wg.Go(func() {
				if _, err := w.Write(bytes.Repeat([]byte{"bcdefgh"[i]}, size)); err != nil {
					t.Error(err)
				}
				if err := w.Commit(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.True(t, bodies[get(t, s, "same/key")], "the object is one writer's, whole")

		_, err := open[0].Write(bytes.Repeat([]byte{'a'}, size))
		require.NoError(t, err)
		require.NoError(t, open[0].Commit())
		require.Equal(t, string(bytes.Repeat([]byte{'a'}, size)), get(t, s, "same/key"), "the last commit wins")
		require.Equal(t, []string{"same/key"}, files(t))
	})
}

// TestChurn writes and deletes in the same few folders at once: a folder that one removes as empty is one another needs.
func TestChurn(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, s blob.Store, files func(t *testing.T) []string) {
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for j := range 50 {
					key := fmt.Sprintf("jobs/%d/f%d", j%2, i)
					w, err := s.Create(t.Context(), key)
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := w.Write([]byte("x")); err != nil {
						t.Error(err)
					}
					if err := w.Commit(); err != nil {
						t.Error(err)
					}
					if err := s.Delete(t.Context(), key); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.Empty(t, files(t))
	})
}

func TestReadRange(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		offset, length int64
		want           string
		kind           models.Kind
	}{
		"all":             {0, -1, "0123456789", ""},
		"head":            {0, 3, "012", ""},
		"middle":          {3, 4, "3456", ""},
		"tail":            {7, -1, "789", ""},
		"past the end":    {7, 100, "789", ""},
		"nothing":         {4, 0, "", ""},
		"at the end":      {10, -1, "", ""},
		"none at the end": {10, 0, "", ""},
		"beyond the end":  {11, -1, "", models.KindInvalid},
		"negative offset": {-1, 4, "", models.KindInvalid},
	}
	conform(t, func(t *testing.T, s blob.Store, _ func(t *testing.T) []string) {
		put(t, s, "k", "0123456789")
		for name, tt := range tests {
			r, err := s.ReadRange(t.Context(), "k", tt.offset, tt.length)
			if tt.kind != "" {
				requireKind(t, tt.kind, err)
				continue
			}
			require.NoError(t, err, name)
			b, err := io.ReadAll(r)
			require.NoError(t, err, name)
			require.Equal(t, tt.want, string(b), name)
			require.NoError(t, r.Close())
		}
	})
}

func TestMissing(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, s blob.Store, _ func(t *testing.T) []string) {
		put(t, s, "dir/file", "x")
		for _, key := range []string{"none", "dir", "dir/none", "dir/file/none"} {
			_, err := s.Open(t.Context(), key)
			requireKind(t, models.KindNotFound, err)
			_, err = s.ReadRange(t.Context(), key, 0, 1)
			requireKind(t, models.KindNotFound, err)
			_, err = s.Size(t.Context(), key)
			requireKind(t, models.KindNotFound, err)
			require.NoError(t, s.Delete(t.Context(), key))
			require.NoError(t, s.DeletePrefix(t.Context(), "none"))
			require.NoError(t, s.DeletePrefix(t.Context(), "dir/file"))
		}
		require.Equal(t, []string{"dir/file"}, keys(t, s, ""))
	})
}

func TestDelete(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, s blob.Store, files func(t *testing.T) []string) {
		put(t, s, "a/b/c", "x")
		put(t, s, "a/d", "x")
		require.NoError(t, s.Delete(t.Context(), "a/b/c"))
		require.NoError(t, s.Delete(t.Context(), "a/b/c"))
		require.Equal(t, []string{"a/d"}, files(t))
		put(t, s, "a/b/c", "again")
		require.Equal(t, "again", get(t, s, "a/b/c"))
	})
}

func TestListAndDeletePrefix(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, s blob.Store, files func(t *testing.T) []string) {
		all := []string{"Z", "jobs/1-x", "jobs/1/a-b", "jobs/1/a/b", "jobs/1/z", "jobs/10/a", "jobs/2/a"}
		for _, k := range []string{"jobs/2/a", "jobs/10/a", "Z", "jobs/1/z", "jobs/1/a/b", "jobs/1/a-b", "jobs/1-x"} {
			put(t, s, k, k)
		}
		require.NoError(t, s.Ping(t.Context()), "which leaves nothing to see")
		require.Equal(t, all, keys(t, s, ""), "in byte order")
		require.Equal(t, all[2:5], keys(t, s, "jobs/1"))
		require.Equal(t, all[2:5], keys(t, s, "jobs/1/"))
		require.Empty(t, keys(t, s, "none"))
		require.Empty(t, keys(t, s, "Z"))
		for o, err := range s.List(t.Context(), "") {
			require.NoError(t, err)
			require.Equal(t, "Z", o.Key)
			break
		}

		unfinished, err := s.Create(t.Context(), "jobs/1/unfinished")
		require.NoError(t, err)
		_, err = unfinished.Write(make([]byte, 20<<20))
		require.NoError(t, err)
		require.NoError(t, s.DeletePrefix(t.Context(), "jobs/1"))
		require.NoError(t, s.DeletePrefix(t.Context(), "jobs/1"))
		require.Equal(t, []string{"Z", "jobs/1-x", "jobs/10/a", "jobs/2/a"}, keys(t, s, ""))
		require.Error(t, unfinished.Commit(), "a write in a deleted folder cannot be published")
		require.NotContains(t, files(t), "jobs/1/unfinished")
		requireKind(t, models.KindInvalid, s.DeletePrefix(t.Context(), ""))
	})
}

func TestSweep(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, s blob.Store, files func(t *testing.T) []string) {
		put(t, s, "a/kept", "x")
		var left []blob.Writer // their process is taken to have died
		for _, key := range []string{"a/lost", "b/lost"} {
			w, err := s.Create(t.Context(), key)
			require.NoError(t, err)
			_, err = w.Write(make([]byte, 20<<20))
			require.NoError(t, err)
			left = append(left, w)
		}
		n, err := s.Sweep(t.Context(), time.Now().Add(-time.Hour))
		require.NoError(t, err)
		require.Zero(t, n, "a write that may still be going on is left alone")
		require.Eventually(t, func() bool { return len(files(t)) == 3 }, 10*time.Second, time.Millisecond, "S3 learns of an upload in the background")

		n, err = s.Sweep(t.Context(), time.Now().Add(time.Hour))
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, []string{"a/kept"}, files(t))
		for _, w := range left {
			require.Error(t, w.Commit())
		}
		require.Equal(t, []string{"a/kept"}, files(t))
	})
}

func TestInvalidKeys(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, s blob.Store, files func(t *testing.T) []string) {
		for _, key := range badKeys {
			_, err := s.Create(t.Context(), key)
			requireKind(t, models.KindInvalid, err)
			require.False(t, key != "" && bytes.Contains([]byte(err.Error()), []byte(key)), "the key is not echoed")
			_, err = s.Open(t.Context(), key)
			requireKind(t, models.KindInvalid, err)
			_, err = s.ReadRange(t.Context(), key, 0, 1)
			requireKind(t, models.KindInvalid, err)
			_, err = s.Size(t.Context(), key)
			requireKind(t, models.KindInvalid, err)
			requireKind(t, models.KindInvalid, s.Delete(t.Context(), key))
			if key != "" && key != "a/" {
				requireKind(t, models.KindInvalid, s.DeletePrefix(t.Context(), key))
				for _, err := range s.List(t.Context(), key) {
					requireKind(t, models.KindInvalid, err)
				}
			}
		}
		require.Empty(t, files(t))
	})
}

func TestPingTellsTheTruth(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s, files := b.open(t)
			require.NoError(t, s.Ping(t.Context()))
			require.NoError(t, s.Ping(t.Context()))
			require.Empty(t, files(t))
			requireKind(t, models.KindUnavailable, b.hollow(t).Ping(t.Context()))
		})
	}
}

// TestHollow checks that a store that is gone is a fault, never taken for an object that was not there.
func TestHollow(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.hollow(t)
			w, err := s.Create(t.Context(), "a/b")
			if err == nil {
				err = w.Commit()
			}
			requireKind(t, models.KindUnavailable, err)
		})
	}
}

func TestBigObject(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, s blob.Store, files func(t *testing.T) []string) {
		const size = 100 << 20
		random := rand.NewChaCha8([32]byte{1})
		w, err := s.Create(t.Context(), "big")
		require.NoError(t, err)
		sum := sha256.New()
		n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(random, size))
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.NoError(t, w.Commit())

		o, err := s.Open(t.Context(), "big")
		require.NoError(t, err)
		defer func() { require.NoError(t, o.Close()) }()
		back := sha256.New()
		n, err = io.Copy(back, o)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.Equal(t, sum.Sum(nil), back.Sum(nil))
		require.Equal(t, []string{"big"}, files(t))
	})
}
