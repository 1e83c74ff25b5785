use serde_json::json;

use super::*;

/// Gives the number of transactions as gas, and one more each time from the `drifts`th run on.
struct Counter {
    transactions: u64,
    runs: u64,
    drifts: u64,
}

impl Engine for Counter {
    fn block(&mut self, block: Block) -> Result<()> {
        self.transactions = block.transactions.len() as u64;
        Ok(())
    }

    fn run(&mut self) -> Result<(Answer, Time)> {
        self.runs += 1;
        let drift = self.runs.saturating_sub(self.drifts);
        Ok(timed(|| Answer::block([self.transactions + drift])))
    }
}

fn ask(drifts: u64, requests: &[serde_json::Value]) -> String {
    let mut engine = Counter {
        transactions: 0,
        runs: 0,
        drifts,
    };
    let mut first = None;
    let mut last = String::new();
    for request in requests {
        last = match answer(&mut engine, &mut first, &request.to_string()) {
            Ok(line) => serde_json::to_string(&line).unwrap(),
            Err(error) => error.to_string(),
        };
    }
    last
}

fn block() -> serde_json::Value {
    let zero = "0x0000000000000000000000000000000000000000000000000000000000000000";
    let address = "0x1000000000000000000000000000000000000001";
    json!({
        "do": "block", "fork": "GrayGlacier", "chain_id": "0x1", "threads": 1,
        "alloc": {address: {"nonce": "0x0", "balance": "0xde0b6b3a7640000", "code": "0x", "storage": {"0x1": "0x2"}}},
        "block_hashes": {"0xff": zero},
        "header": {
            "number": "0x100", "timestamp": "0x65", "coinbase": address, "gas_limit": "0x1c9c380", "difficulty": "0x0",
            "prev_randao": zero, "base_fee_per_gas": "0x7", "excess_blob_gas": null, "blob_base_fee": null,
        },
        "transactions": [{
            "type": 4, "sender": address, "nonce": "0x0", "gas_limit": "0x5208", "to": null, "value": "0x1",
            "data": "0x00", "gas_price": null, "max_fee_per_gas": "0x8", "max_priority_fee_per_gas": "0x1",
            "access_list": [{"address": address, "storage_keys": [zero]}], "max_fee_per_blob_gas": null,
            "blob_versioned_hashes": null,
            "authorization_list": [{"chain_id": "0x1", "address": address, "nonce": "0x0", "y_parity": "0x1",
                                    "r": "0x1", "s": "0x2"}],
        }],
    })
}

#[test]
fn a_block_is_answered_with_its_gas() {
    assert_eq!(ask(9, &[block()]), r#"{"gas_used":["0x1"]}"#);
}

#[test]
fn each_run_has_its_times() {
    let times: serde_json::Value =
        serde_json::from_str(&ask(9, &[block(), json!({"do": "run", "times": 3})])).unwrap();
    assert_eq!(times["wall_ns"].as_array().unwrap().len(), 3);
    assert_eq!(times["cpu_ns"].as_array().unwrap().len(), 3);
}

#[test]
fn a_run_that_gives_something_else_is_an_error() {
    assert!(ask(2, &[block(), json!({"do": "run", "times": 3})]).starts_with("a run gave Block"));
}

#[test]
fn nothing_runs_where_no_work_was_served() {
    let unfinished = json!({"do": "message", "fork": "Cancun"});
    let run = json!({"do": "run", "times": 1});
    assert!(ask(9, std::slice::from_ref(&run)).starts_with("nothing to run"));
    assert!(ask(9, &[block(), unfinished, run]).starts_with("nothing to run"));
}

#[test]
fn a_number_too_large_for_its_field_is_an_error() {
    let mut request = block();
    request["header"]["number"] = json!("0x10000000000000000");
    assert!(ask(9, &[request]).starts_with("0x10000000000000000 does not fit 64 bits"));
}
