-- How often a visitor was forgotten. Redis' epoch names this number, so that a copy that still
-- counts somebody who was forgotten is seen and filled anew, whoever died meanwhile.
ALTER TABLE installation ADD COLUMN copy_generation bigint NOT NULL DEFAULT 0;

-- Unlogged: the keys of client addresses are in no write-ahead log, so that what is deleted is gone.
-- A crash of PostgreSQL empties the table; running programs put their keys back, else new ones are made.
ALTER TABLE address_keys SET UNLOGGED;
