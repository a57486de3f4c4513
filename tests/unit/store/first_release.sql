BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('1001');
CREATE TABLE artifacts (
	experiment VARCHAR(36) NOT NULL, 
	trial INTEGER NOT NULL, 
	path TEXT NOT NULL, 
	attempt VARCHAR(36) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_artifacts PRIMARY KEY (experiment, trial, path)
);
CREATE TABLE attempts (
	id VARCHAR(36) NOT NULL, 
	experiment VARCHAR(36) NOT NULL, 
	trial INTEGER NOT NULL, 
	fold INTEGER NOT NULL, 
	attempt_number INTEGER NOT NULL, 
	state VARCHAR(64) NOT NULL, 
	stop_order VARCHAR(64), 
	reason TEXT, 
	files_state VARCHAR(64), 
	files_message TEXT, 
	worker VARCHAR(36) NOT NULL, 
	lease_call INTEGER DEFAULT '0' NOT NULL, 
	node TEXT NOT NULL, 
	gpus TEXT, 
	exit_code INTEGER, 
	signal INTEGER, 
	leased_at FLOAT NOT NULL, 
	started_at FLOAT, 
	finished_at FLOAT, 
	wall_seconds FLOAT, 
	cpu_seconds FLOAT, 
	peak_memory BIGINT, 
	point_count INTEGER DEFAULT '0' NOT NULL, 
	log_end BIGINT DEFAULT '0' NOT NULL, 
	log_bytes BIGINT, 
	log_tail TEXT, 
	raised_memory BIGINT, 
	resumed_from TEXT, 
	non_finite TEXT, 
	CONSTRAINT pk_attempts PRIMARY KEY (id), 
	CONSTRAINT uq_attempts_experiment_trial_fold_attempt_number UNIQUE (experiment, trial, fold, attempt_number)
);
INSERT INTO "attempts" VALUES('018bcfe5-6820-73d8-9173-6110e578cea6','018bcfe5-6801-75b1-a522-4a58b791f1d8',1,0,1,'succeeded',NULL,NULL,NULL,NULL,'018bcfe5-6811-79eb-af1e-7bd5d47ecec2',1,'here',NULL,0,NULL,1.70000000003199768072e+09,1.6999999995359973907e+09,1.70000000003599739074e+09,0.5,0.1,1048576,0,24,24,'loss=0.6600335564120912
',NULL,NULL,NULL);
INSERT INTO "attempts" VALUES('018bcfe5-6822-7676-ae61-16c6e9c9bf35','018bcfe5-6801-75b1-a522-4a58b791f1d8',2,0,1,'leased',NULL,NULL,NULL,NULL,'018bcfe5-680e-74bb-86c3-d1c427104c41',1,'here',NULL,NULL,NULL,1.70000000003399753573e+09,NULL,NULL,NULL,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES('018bcfe5-6830-7c2e-8718-822ce47c4107','018bcfe5-6801-75b1-a522-4a58b791f1d8',3,0,1,'leased',NULL,NULL,NULL,NULL,'018bcfe5-6811-79eb-af1e-7bd5d47ecec2',3,'here',NULL,NULL,NULL,1.70000000004799652099e+09,NULL,NULL,NULL,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE audit (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at FLOAT NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	actor TEXT NOT NULL, 
	role TEXT NOT NULL, 
	address TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	details TEXT NOT NULL
);
CREATE TABLE blobs (
	digest VARCHAR(64) NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_blobs PRIMARY KEY (digest)
);
CREATE TABLE credentials (
	digest VARCHAR(64) NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	name TEXT NOT NULL, 
	role VARCHAR(64) NOT NULL, 
	source VARCHAR(64) NOT NULL, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	created_by TEXT DEFAULT '' NOT NULL, 
	experiment VARCHAR(64), 
	subject VARCHAR(64), 
	renewal TEXT, 
	check_at FLOAT, 
	CONSTRAINT pk_credentials PRIMARY KEY (digest)
);
CREATE TABLE estimates (
	experiment VARCHAR(36) NOT NULL, 
	history_seq INTEGER NOT NULL, 
	revision INTEGER NOT NULL, 
	trial INTEGER, 
	value FLOAT, 
	stddev FLOAT, 
	measured_value FLOAT, 
	measured_stddev FLOAT, 
	front TEXT, 
	CONSTRAINT pk_estimates PRIMARY KEY (experiment)
);
CREATE TABLE events (
	experiment VARCHAR(36) NOT NULL, 
	seq INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	actor TEXT NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	data TEXT NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (experiment, seq)
);
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',1,1.70000000000199985505e+09,'ada','experiment_created','{"handle": "first-gy1d", "budget": 4, "name": "first"}');
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',2,1.70000000002399826045e+09,'server','trial_queued','{"trial": 1, "source": "random"}');
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',3,1.70000000002399826045e+09,'server','trial_queued','{"trial": 2, "source": "random"}');
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',4,1.70000000002399826045e+09,'server','trial_queued','{"trial": 3, "source": "random"}');
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',5,1.70000000002399826045e+09,'server','trial_queued','{"trial": 4, "source": "random"}');
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',6,1.70000000002699804303e+09,'w2','worker_started','{"worker": "w2", "node": "here", "slots": 1}');
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',7,1.70000000002999782566e+09,'w1','worker_started','{"worker": "w1", "node": "here", "slots": 1}');
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',8,1.70000000003199768072e+09,'w2','attempt_leased','{"attempt": "018bcfe5-6820-73d8-9173-6110e578cea6", "trial": 1, "fold": 0, "worker": "w2"}');
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',9,1.70000000003199768072e+09,'w2','experiment_state','{"state": "running", "reason": null}');
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',10,1.70000000003399753573e+09,'w1','attempt_leased','{"attempt": "018bcfe5-6822-7676-ae61-16c6e9c9bf35", "trial": 2, "fold": 0, "worker": "w1"}');
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',11,1.70000000003599739074e+09,'w2','attempt_ended','{"attempt": "018bcfe5-6820-73d8-9173-6110e578cea6", "trial": 1, "fold": 0, "state": "succeeded", "reason": null}');
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',12,1.70000000003599739074e+09,'w2','trial_finished','{"trial": 1, "state": "completed", "reason": null, "metrics": {"loss": 0.6600335564120912}}');
INSERT INTO "events" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',13,1.70000000004799652099e+09,'w2','attempt_leased','{"attempt": "018bcfe5-6830-7c2e-8718-822ce47c4107", "trial": 3, "fold": 0, "worker": "w2"}');
CREATE TABLE experiments (
	id VARCHAR(36) NOT NULL, 
	handle VARCHAR(64) NOT NULL, 
	name TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	cluster VARCHAR(64) NOT NULL, 
	folder TEXT DEFAULT '' NOT NULL, 
	specification TEXT NOT NULL, 
	launch TEXT NOT NULL, 
	bundle VARCHAR(64), 
	rerun_of TEXT, 
	idempotency_key VARCHAR(200), 
	revision INTEGER DEFAULT '1' NOT NULL, 
	budget INTEGER NOT NULL, 
	parallelism INTEGER NOT NULL, 
	priority INTEGER DEFAULT '0' NOT NULL, 
	labels TEXT DEFAULT '{}' NOT NULL, 
	desired VARCHAR(64) NOT NULL, 
	state VARCHAR(64) NOT NULL, 
	reason TEXT, 
	waiting TEXT, 
	ended_by VARCHAR(64), 
	visibility VARCHAR(64) DEFAULT 'listed' NOT NULL, 
	program VARCHAR(64) DEFAULT 'command' NOT NULL, 
	waived_guards TEXT DEFAULT '[]' NOT NULL, 
	is_exhausted BOOLEAN DEFAULT 0 NOT NULL, 
	awaits_suggestion BOOLEAN DEFAULT 0 NOT NULL, 
	last_trial INTEGER DEFAULT '0' NOT NULL, 
	queued INTEGER DEFAULT '0' NOT NULL, 
	running INTEGER DEFAULT '0' NOT NULL, 
	completed INTEGER DEFAULT '0' NOT NULL, 
	failed INTEGER DEFAULT '0' NOT NULL, 
	pruned INTEGER DEFAULT '0' NOT NULL, 
	cancelled INTEGER DEFAULT '0' NOT NULL, 
	live_attempts INTEGER DEFAULT '0' NOT NULL, 
	pending_folds INTEGER DEFAULT '0' NOT NULL, 
	event_seq INTEGER DEFAULT '0' NOT NULL, 
	log_seq INTEGER DEFAULT '0' NOT NULL, 
	history_seq INTEGER DEFAULT '0' NOT NULL, 
	worker_seq INTEGER DEFAULT '0' NOT NULL, 
	best_trial INTEGER, 
	best_value FLOAT, 
	trials_since_best INTEGER DEFAULT '0' NOT NULL, 
	best_by_fold TEXT, 
	identical_digest VARCHAR(64), 
	identical_count INTEGER DEFAULT '0' NOT NULL, 
	memory_samples INTEGER DEFAULT '0' NOT NULL, 
	peak_memory BIGINT DEFAULT '0' NOT NULL, 
	memory_surprises INTEGER DEFAULT '0' NOT NULL, 
	created_at FLOAT NOT NULL, 
	started_at FLOAT, 
	finished_at FLOAT, 
	idle_seconds FLOAT DEFAULT '0' NOT NULL, 
	files_deleted_at FLOAT, 
	imported_at FLOAT, 
	principal TEXT, 
	secret_bytes BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_experiments PRIMARY KEY (id), 
	CONSTRAINT uq_experiments_handle UNIQUE (handle), 
	CONSTRAINT uq_experiments_idempotency_key UNIQUE (idempotency_key)
);
INSERT INTO "experiments" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8','first-gy1d','first','ada','local','','{"name": "first", "run": "echo loss={x}", "parameters": [{"name": "x", "type": "float", "min": 0.0, "max": 1.0}], "constraints": [], "metrics": [{"name": "loss", "goal": "minimize", "take": "last", "threshold": null, "constraint": null, "optimized": true}], "budget": 4, "parallelism": 2, "folds": {"count": 1, "prune_after": null}, "resources": {"cpu": null, "memory": null, "gpu": 0}, "preload": [], "env": {}, "secrets": [], "timeout": null, "grace": 10.0, "retries": 0, "oom_retries": 0, "memory_factor": 1.5, "stop": {"max_failures": null, "target": null, "time": null, "patience": null, "futile": null}, "early_stopping": null, "try_first": [], "keep": {"patterns": [], "best": null, "limit": 1073741824}, "checkpoint_every": null, "seed": 0, "engine": "random", "engine_options": {}, "priority": 0, "labels": {}, "notify": [], "mlflow": null, "placement": {"image": null, "pool": null, "queue": null, "service_account": null, "priority_class": null, "shm": null, "volumes": [], "pod": {}}, "config": null, "stdin": "", "program": "command", "collect": []}','{}',NULL,NULL,NULL,1,4,2,0,'{}','running','running',NULL,NULL,NULL,'listed','command','[]',0,0,4,1,2,1,0,0,0,2,1,13,1,1,2,1,6.60033556412091160225e-01,0,NULL,'6c20c935cb48194f35467745',1,1,1048576,0,1.70000000000199985505e+09,1.70000000003199768072e+09,NULL,0.0,NULL,NULL,'token:ada',0);
CREATE TABLE folds (
	experiment VARCHAR(36) NOT NULL, 
	trial INTEGER NOT NULL, 
	fold INTEGER NOT NULL, 
	state VARCHAR(64) NOT NULL, 
	not_before FLOAT DEFAULT '0' NOT NULL, 
	metrics TEXT, 
	checkpoint TEXT, 
	lease_token INTEGER DEFAULT '0' NOT NULL, 
	failures INTEGER DEFAULT '0' NOT NULL, 
	is_isolated BOOLEAN DEFAULT 0 NOT NULL, 
	memory BIGINT DEFAULT '0' NOT NULL, 
	memory_raises INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_folds PRIMARY KEY (experiment, trial, fold)
);
INSERT INTO "folds" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',1,0,'done',0.0,NULL,NULL,1,0,0,0,0);
INSERT INTO "folds" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',2,0,'active',0.0,NULL,NULL,1,0,0,0,0);
INSERT INTO "folds" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',3,0,'active',0.0,NULL,NULL,1,0,0,0,0);
INSERT INTO "folds" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',4,0,'pending',0.0,NULL,NULL,0,0,0,0,0);
CREATE TABLE idempotency (
	"key" VARCHAR(200) NOT NULL, 
	request_hash VARCHAR(64) NOT NULL, 
	status INTEGER NOT NULL, 
	response TEXT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	CONSTRAINT pk_idempotency PRIMARY KEY ("key")
);
CREATE TABLE imports (
	experiment VARCHAR(36) NOT NULL, 
	token VARCHAR(36) NOT NULL, 
	CONSTRAINT pk_imports PRIMARY KEY (experiment)
);
CREATE TABLE log_segments (
	experiment VARCHAR(36) NOT NULL, 
	seq INTEGER NOT NULL, 
	attempt VARCHAR(36) NOT NULL, 
	trial INTEGER NOT NULL, 
	"offset" BIGINT NOT NULL, 
	length INTEGER NOT NULL, 
	gap BIGINT DEFAULT '0' NOT NULL, 
	at FLOAT NOT NULL, 
	data BLOB, 
	object_key TEXT, 
	object_offset BIGINT, 
	CONSTRAINT pk_log_segments PRIMARY KEY (experiment, seq)
);
INSERT INTO "log_segments" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',1,'018bcfe5-6820-73d8-9173-6110e578cea6',1,0,24,0,1.70000000003599739074e+09,X'6C6F73733D302E363630303333353536343132303931320A',NULL,NULL);
CREATE TABLE notifications (
	experiment VARCHAR(36) NOT NULL, 
	seq INTEGER NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	hook VARCHAR(64) NOT NULL, 
	data TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	delivery_attempts INTEGER DEFAULT '0' NOT NULL, 
	next_attempt_at FLOAT NOT NULL, 
	CONSTRAINT pk_notifications PRIMARY KEY (experiment, seq, kind, hook)
);
CREATE TABLE points (
	attempt VARCHAR(36) NOT NULL, 
	name TEXT NOT NULL, 
	sequence INTEGER NOT NULL, 
	value FLOAT NOT NULL, 
	step FLOAT, 
	stddev FLOAT, 
	at FLOAT NOT NULL, 
	CONSTRAINT pk_points PRIMARY KEY (attempt, name, sequence)
);
CREATE TABLE pruner_observations (
	experiment VARCHAR(36) NOT NULL, 
	trial INTEGER NOT NULL, 
	fold INTEGER NOT NULL, 
	step FLOAT NOT NULL, 
	seq BIGINT NOT NULL, 
	loss FLOAT NOT NULL, 
	best FLOAT NOT NULL, 
	mean FLOAT NOT NULL, 
	CONSTRAINT pk_pruner_observations PRIMARY KEY (experiment, trial, fold, step)
);
CREATE TABLE quarantines (
	cluster VARCHAR(64) NOT NULL, 
	node VARCHAR(255) NOT NULL, 
	principal TEXT DEFAULT '' NOT NULL, 
	reason TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	until FLOAT NOT NULL, 
	CONSTRAINT pk_quarantines PRIMARY KEY (cluster, node, principal)
);
CREATE TABLE revisions (
	experiment VARCHAR(36) NOT NULL, 
	revision INTEGER NOT NULL, 
	specification TEXT NOT NULL, 
	launch TEXT, 
	actor TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	CONSTRAINT pk_revisions PRIMARY KEY (experiment, revision)
);
INSERT INTO "revisions" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',1,'{"name": "first", "run": "echo loss={x}", "parameters": [{"name": "x", "type": "float", "min": 0.0, "max": 1.0}], "constraints": [], "metrics": [{"name": "loss", "goal": "minimize", "take": "last", "threshold": null, "constraint": null, "optimized": true}], "budget": 4, "parallelism": 2, "folds": {"count": 1, "prune_after": null}, "resources": {"cpu": null, "memory": null, "gpu": 0}, "preload": [], "env": {}, "secrets": [], "timeout": null, "grace": 10.0, "retries": 0, "oom_retries": 0, "memory_factor": 1.5, "stop": {"max_failures": null, "target": null, "time": null, "patience": null, "futile": null}, "early_stopping": null, "try_first": [], "keep": {"patterns": [], "best": null, "limit": 1073741824}, "checkpoint_every": null, "seed": 0, "engine": "random", "engine_options": {}, "priority": 0, "labels": {}, "notify": [], "mlflow": null, "placement": {"image": null, "pool": null, "queue": null, "service_account": null, "priority_class": null, "shm": null, "volumes": [], "pod": {}}, "config": null, "stdin": "", "program": "command", "collect": []}',NULL,'ada',1.70000000000199985505e+09);
CREATE TABLE tombstones (
	digest VARCHAR(64) NOT NULL, 
	at FLOAT NOT NULL, 
	CONSTRAINT pk_tombstones PRIMARY KEY (digest)
);
CREATE TABLE tracking_runs (
	experiment VARCHAR(36) NOT NULL, 
	trial INTEGER NOT NULL, 
	run_id VARCHAR(64) DEFAULT '' NOT NULL, 
	event_seq INTEGER DEFAULT '0' NOT NULL, 
	logged_at FLOAT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_tracking_runs PRIMARY KEY (experiment, trial)
);
CREATE TABLE trial_metrics (
	experiment VARCHAR(36) NOT NULL, 
	trial INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	value FLOAT NOT NULL, 
	stddev FLOAT, 
	is_declared BOOLEAN NOT NULL, 
	CONSTRAINT pk_trial_metrics PRIMARY KEY (experiment, trial, name)
);
INSERT INTO "trial_metrics" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',1,'loss',6.60033556412091160225e-01,NULL,1);
CREATE TABLE trials (
	experiment VARCHAR(36) NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR(64) NOT NULL, 
	reason TEXT, 
	parameters TEXT NOT NULL, 
	source VARCHAR(64) NOT NULL, 
	engine_version VARCHAR(64), 
	suggested_after INTEGER, 
	history_seq INTEGER, 
	parent INTEGER, 
	seed BIGINT NOT NULL, 
	bundle VARCHAR(64), 
	revision INTEGER NOT NULL, 
	initial_checkpoint TEXT, 
	lost_attempts INTEGER DEFAULT '0' NOT NULL, 
	is_isolated BOOLEAN DEFAULT 0 NOT NULL, 
	created_at FLOAT NOT NULL, 
	started_at FLOAT, 
	finished_at FLOAT, 
	CONSTRAINT pk_trials PRIMARY KEY (experiment, number)
);
INSERT INTO "trials" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',1,'completed',NULL,'{"x": 0.6600335564120912}','random','3',0,1,NULL,3278692055,NULL,1,NULL,0,0,1.70000000002399826045e+09,1.70000000003199768072e+09,1.70000000003599739074e+09);
INSERT INTO "trials" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',2,'running',NULL,'{"x": 0.5691193039201615}','random','3',0,NULL,NULL,3289472636,NULL,1,NULL,0,0,1.70000000002399826045e+09,1.70000000003399753573e+09,NULL);
INSERT INTO "trials" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',3,'running',NULL,'{"x": 0.2062978140493965}','random','3',0,NULL,NULL,3231143710,NULL,1,NULL,0,0,1.70000000002399826045e+09,1.70000000004799652099e+09,NULL);
INSERT INTO "trials" VALUES('018bcfe5-6801-75b1-a522-4a58b791f1d8',4,'queued',NULL,'{"x": 0.42082779741691967}','random','3',0,NULL,NULL,2806734395,NULL,1,NULL,0,0,1.70000000002399826045e+09,NULL,NULL);
CREATE TABLE usage (
	attempt VARCHAR(36) NOT NULL, 
	experiment VARCHAR(36) NOT NULL, 
	samples TEXT NOT NULL, 
	CONSTRAINT pk_usage PRIMARY KEY (attempt)
);
CREATE TABLE warm_starts (
	experiment VARCHAR(36) NOT NULL, 
	source TEXT NOT NULL, 
	count INTEGER NOT NULL, 
	results TEXT NOT NULL, 
	CONSTRAINT pk_warm_starts PRIMARY KEY (experiment)
);
CREATE TABLE workers (
	id VARCHAR(36) NOT NULL, 
	experiment VARCHAR(36) NOT NULL, 
	cluster VARCHAR(64) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	state VARCHAR(64) NOT NULL, 
	reason TEXT, 
	phase VARCHAR(64), 
	node TEXT DEFAULT '' NOT NULL, 
	slots INTEGER NOT NULL, 
	memory BIGINT DEFAULT '0' NOT NULL, 
	memory_next BIGINT, 
	gpus TEXT, 
	backend_handle TEXT, 
	boot_id VARCHAR(64), 
	last_call BIGINT DEFAULT '0' NOT NULL, 
	next_experiment VARCHAR(36), 
	sends_files BOOLEAN DEFAULT 0 NOT NULL, 
	previous_experiment VARCHAR(64), 
	protocol INTEGER, 
	version VARCHAR(64), 
	capabilities TEXT, 
	succeeded INTEGER DEFAULT '0' NOT NULL, 
	failed INTEGER DEFAULT '0' NOT NULL, 
	created_at FLOAT NOT NULL, 
	seen_at FLOAT, 
	ended_at FLOAT, 
	CONSTRAINT pk_workers PRIMARY KEY (id)
);
INSERT INTO "workers" VALUES('018bcfe5-680e-74bb-86c3-d1c427104c41','018bcfe5-6801-75b1-a522-4a58b791f1d8','local','w1','alive',NULL,NULL,'here',1,0,NULL,NULL,'{"worker": "018bcfe5-680e-74bb-86c3-d1c427104c41"}','boot-104c41-1',1,NULL,0,NULL,2,'','[]',0,0,1.70000000001599884031e+09,1.70000000003399753573e+09,NULL);
INSERT INTO "workers" VALUES('018bcfe5-6811-79eb-af1e-7bd5d47ecec2','018bcfe5-6801-75b1-a522-4a58b791f1d8','local','w2','alive',NULL,NULL,'here',1,0,NULL,NULL,'{"worker": "018bcfe5-6811-79eb-af1e-7bd5d47ecec2"}','boot-7ecec2-1',3,NULL,0,NULL,2,'','[]',1,0,1.7000000000189986229e+09,1.70000000004799652099e+09,NULL);
CREATE INDEX ix_artifacts_digest ON artifacts (digest);
CREATE INDEX ix_attempts_experiment_state ON attempts (experiment, state);
CREATE INDEX ix_attempts_worker_state ON attempts (worker, state);
CREATE INDEX ix_credentials_expires_at ON credentials (expires_at);
CREATE INDEX ix_experiments_folder_created_at ON experiments (folder, created_at);
CREATE INDEX ix_experiments_principal ON experiments (principal) WHERE secret_bytes > 0;
CREATE INDEX ix_experiments_state ON experiments (state);
CREATE INDEX ix_experiments_visibility_created_at ON experiments (visibility, created_at);
CREATE INDEX ix_folds_experiment_state_is_isolated_trial_fold ON folds (experiment, state, is_isolated, trial, fold);
CREATE INDEX ix_idempotency_expires_at ON idempotency (expires_at);
CREATE INDEX ix_log_segments_attempt_offset ON log_segments (attempt, "offset");
CREATE INDEX ix_log_segments_experiment_trial_seq ON log_segments (experiment, trial, seq);
CREATE INDEX ix_notifications_next_attempt_at ON notifications (next_attempt_at);
CREATE INDEX ix_pruner_observations_experiment_seq ON pruner_observations (experiment, seq);
CREATE INDEX ix_tracking_runs_experiment_event_seq ON tracking_runs (experiment, event_seq) WHERE trial = 0;
CREATE INDEX ix_trial_metrics_experiment_name_value ON trial_metrics (experiment, name, value);
CREATE INDEX ix_trials_experiment_history_seq ON trials (experiment, history_seq);
CREATE INDEX ix_trials_experiment_state_number ON trials (experiment, state, number);
CREATE INDEX ix_usage_experiment ON usage (experiment);
CREATE INDEX ix_workers_experiment_state ON workers (experiment, state);
CREATE INDEX ix_workers_state ON workers (state);
DELETE FROM "sqlite_sequence";
COMMIT;
