-- The tables of the catalog on PostgreSQL. Keys sort by their bytes, as bytea does; what keys and
-- values say stands in catalog-schema/README.md. A step is never changed once it is out.

-- How far the schema is.
CREATE TABLE engine_schema (
  step integer PRIMARY KEY,
  name text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);

-- Changes that have been committed and not numbered yet, in the order in which they are to be.
CREATE TABLE engine_inbox (
  id bigint NOT NULL,
  part bigint NOT NULL,
  value bytea NOT NULL,
  PRIMARY KEY (id, part)
);
-- Numbers are taken one by one: whoever asks later gets a higher one, on any connection.
CREATE SEQUENCE engine_inbox_id CACHE 1;

-- The number of the newest change.
CREATE TABLE engine_head (
  id integer PRIMARY KEY CHECK (id = 1),
  seq bigint NOT NULL
);
INSERT INTO engine_head (id, seq) VALUES (1, 0);

-- The last attempt of each writing connection's seat that took effect, and up to which none may any more.
CREATE TABLE engine_attempts (
  seat bytea PRIMARY KEY,
  attempt bigint NOT NULL,
  barred bigint NOT NULL,
  at timestamptz NOT NULL
);

-- How often each bell has been rung, by which processes tell each other of work.
CREATE TABLE engine_bells (
  name text PRIMARY KEY,
  rung bigint NOT NULL
);

-- The catalog, in the order of the tables' numbers.
CREATE TABLE changes (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE meta (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE facts (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE scopes (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE did_names (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE dids (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE heads (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE contents (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE parents (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE endpoints (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE endpoint_names (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE replicas (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE replicas_by_endpoint (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE paths (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE coverage (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE coverage_deltas (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE usage (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE usage_deltas (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE folds (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE rules (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE rules_by_did (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE rules_by_expiry (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE rule_work (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE rule_counts (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE placements (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE unplaced (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE locks (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE locks_by_unit (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE backlog (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE filling (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE stuck_files (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE intents (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE uploads_due (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE transfers (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE ready (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE running (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE failed (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE accounts (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE api_keys (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE leases (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE decisions (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE account_members (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE groups_of (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE api_keys_by_account (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE api_key_uses (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE passwords (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE sessions (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE sessions_by_account (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE account_limits (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE holders (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE holdings (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE holding_deltas (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE label_sets (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE label_sets_by_hash (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE scope_labels (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE did_labels (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE placing_causes (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE placing_pass (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE reservations (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE labelled_due (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE answers (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE answers_by_time (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE metadata (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE closed (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE history (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE history_heads (key bytea PRIMARY KEY, value bytea NOT NULL);
