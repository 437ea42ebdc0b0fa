-- How far each fan-out has told the journal, in the order of transactions.
CREATE TABLE outbox (
    consumer text   PRIMARY KEY,
    tx       bigint NOT NULL,
    id       bigint NOT NULL
)
