-- The lake itself, its restores, and endpoints to be accepted after one. See catalog-schema/README.md.
CREATE TABLE lake (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE restores (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE audits (key bytea PRIMARY KEY, value bytea NOT NULL);
