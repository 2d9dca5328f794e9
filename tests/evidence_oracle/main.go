// Proofs by Go's golang.org/x/mod/sumdb/tlog for random sizes, indexes and older sizes: an oracle that shares no code with ours.
//
// Usage: GO111MODULE=off go run main.go LEAVES CASES SEED
//
// Prints one JSON object: {"leaves", "seed", "cases": [[size, index, old_size, root, inclusion, consistency], …]}. Leaf i is the decimal text of
// i. root is the first 16 bytes of the root, in base64; inclusion and consistency are
// the first 16 bytes of the SHA-256 of the proof's concatenated hashes.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = h[x]
	}
	return out, nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func digest(proof []tlog.Hash) string {
	sum := sha256.New()
	for _, hash := range proof {
		sum.Write(hash[:])
	}
	return base64.StdEncoding.EncodeToString(sum.Sum(nil)[:16])
}

func main() {
	leaves, err := strconv.ParseInt(os.Args[1], 10, 64)
	check(err)
	cases, err := strconv.Atoi(os.Args[2])
	check(err)
	seed, err := strconv.ParseInt(os.Args[3], 10, 64)
	check(err)
	var stored hashes
	for i := int64(0); i < leaves; i++ {
		added, err := tlog.StoredHashes(i, []byte(strconv.FormatInt(i, 10)), stored)
		check(err)
		stored = append(stored, added...)
	}
	chance := rand.New(rand.NewSource(seed))
	rows := make([][]interface{}, cases)
	for i := range rows {
		size := 1 + chance.Int63n(leaves)
		index := chance.Int63n(size)
		old := 1 + chance.Int63n(size)
		root, err := tlog.TreeHash(size, stored)
		check(err)
		inclusion, err := tlog.ProveRecord(size, index, stored)
		check(err)
		consistency, err := tlog.ProveTree(size, old, stored)
		check(err)
		rows[i] = []interface{}{size, index, old, base64.StdEncoding.EncodeToString(root[:16]), digest(inclusion), digest(consistency)}
	}
	check(json.NewEncoder(os.Stdout).Encode(map[string]interface{}{"leaves": leaves, "seed": seed, "cases": rows}))
}
