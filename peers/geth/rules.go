package main

import (
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/params"
)

// forks are the names of execution-specs in order of activation. Those of the difficulty bomb alone change no rule.
var forks = []string{
	"Frontier", "Homestead", "TangerineWhistle", "SpuriousDragon", "Byzantium", "Constantinople", "Petersburg", "Istanbul",
	"MuirGlacier", "Berlin", "London", "ArrowGlacier", "GrayGlacier", "Paris", "Shanghai", "Cancun", "Prague", "Osaka",
}

// chainAt is a chain on which `fork` and all before it are active from the first block on, and whether it is past the merge.
func chainAt(fork string, chainID *big.Int) (*params.ChainConfig, bool, error) {
	if fork == "ConstantinopleFix" {
		fork = "Petersburg"
	}
	current := slices.Index(forks, fork)
	if current < 0 {
		return nil, false, fmt.Errorf("fork %q is unknown: one of %v is needed", fork, forks)
	}
	active := func(name string) bool { return current >= slices.Index(forks, name) }
	block := func(name string) *big.Int {
		if active(name) {
			return new(big.Int)
		}
		return nil
	}
	time := func(name string) *uint64 {
		if active(name) {
			return new(uint64)
		}
		return nil
	}
	chain := &params.ChainConfig{
		ChainID:                 chainID,
		HomesteadBlock:          block("Homestead"),
		EIP150Block:             block("TangerineWhistle"),
		EIP155Block:             block("SpuriousDragon"),
		EIP158Block:             block("SpuriousDragon"),
		ByzantiumBlock:          block("Byzantium"),
		ConstantinopleBlock:     block("Constantinople"),
		PetersburgBlock:         block("Petersburg"),
		IstanbulBlock:           block("Istanbul"),
		MuirGlacierBlock:        block("MuirGlacier"),
		BerlinBlock:             block("Berlin"),
		LondonBlock:             block("London"),
		ArrowGlacierBlock:       block("ArrowGlacier"),
		GrayGlacierBlock:        block("GrayGlacier"),
		TerminalTotalDifficulty: new(big.Int),
		ShanghaiTime:            time("Shanghai"),
		CancunTime:              time("Cancun"),
		PragueTime:              time("Prague"),
		OsakaTime:               time("Osaka"),
	}
	if chain.PetersburgBlock == nil {
		// Nil would mean together with Constantinople.
		chain.PetersburgBlock = big.NewInt(math.MaxInt64)
	}
	return chain, active("Paris"), nil
}
