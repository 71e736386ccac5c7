package config

// What becomes of a flag in the stand-in. k3s itself knows every one of them.
type effect int

const (
	honoured effect = iota
	inert           // accepted, does nothing here; said once in the log when it is set
	refused         // would change what the cluster is: better to stop than to ignore it
)

type kind string

const (
	text     kind = ""
	list     kind = "list"
	boolean  kind = "boolean"
	number   kind = "number"
	duration kind = "duration"
)

type flag struct {
	kind   kind
	effect effect
	env    string
}

// Flags of `k3s server` and `k3s agent` in k3s 1.34. Source: k3s-io/k3s pkg/cli/cmds/{server,agent,log}.go
// and docs.k3s.io/cli/{server,agent}.
var (
	agentFlags = map[string]flag{
		"config":           {env: "K3S_CONFIG_FILE"},
		"token":            {env: "K3S_TOKEN"},
		"token-file":       {env: "K3S_TOKEN_FILE"},
		"server":           {env: "K3S_URL"},
		"data-dir":         {env: "K3S_DATA_DIR"},
		"node-name":        {env: "K3S_NODE_NAME"},
		"node-ip":          {kind: list},
		"node-label":       {kind: list},
		"node-taint":       {kind: list},
		"kubelet-arg":      {kind: list},
		"kube-proxy-arg":   {kind: list},
		"resolv-conf":      {env: "K3S_RESOLV_CONF"},
		"pause-image":      {},
		"private-registry": {},
		"debug":            {kind: boolean},

		"v":                                 {effect: inert},
		"vmodule":                           {effect: inert},
		"log":                               {effect: inert},
		"alsologtostderr":                   {kind: boolean, effect: inert},
		"node-external-ip":                  {kind: list, effect: inert},
		"node-internal-dns":                 {kind: list, effect: inert},
		"node-external-dns":                 {kind: list, effect: inert},
		"flannel-iface":                     {effect: inert},
		"flannel-conf":                      {effect: inert},
		"flannel-cni-conf":                  {effect: inert},
		"lb-server-port":                    {effect: inert, env: "K3S_LB_SERVER_PORT"},
		"protect-kernel-defaults":           {kind: boolean, effect: inert},
		"prefer-bundled-bin":                {kind: boolean, effect: inert},
		"selinux":                           {kind: boolean, effect: inert, env: "K3S_SELINUX"},
		"snapshotter":                       {effect: inert},
		"default-runtime":                   {effect: inert},
		"nonroot-devices":                   {kind: boolean, effect: inert},
		"disable-default-registry-endpoint": {kind: boolean, effect: inert},
		"airgap-extra-registry":             {kind: list, effect: inert},
		"image-credential-provider-bin-dir": {effect: inert},
		"image-credential-provider-config":  {effect: inert},
		"enable-pprof":                      {kind: boolean, effect: inert},
		"bind-address":                      {effect: inert},
		"disable-apiserver-lb":              {kind: boolean, effect: inert},

		"with-node-id":               {kind: boolean, effect: refused},
		"rootless":                   {kind: boolean, effect: refused},
		"docker":                     {kind: boolean, effect: refused},
		"container-runtime-endpoint": {effect: refused},
		"image-service-endpoint":     {effect: refused},
		"vpn-auth":                   {effect: refused, env: "K3S_VPN_AUTH"},
		"vpn-auth-file":              {effect: refused, env: "K3S_VPN_AUTH_FILE"},
	}

	serverOnlyFlags = map[string]flag{
		"agent-token":                 {env: "K3S_AGENT_TOKEN"},
		"agent-token-file":            {env: "K3S_AGENT_TOKEN_FILE"},
		"cluster-init":                {kind: boolean, env: "K3S_CLUSTER_INIT"},
		"cluster-reset":               {kind: boolean, env: "K3S_CLUSTER_RESET"},
		"cluster-reset-restore-path":  {},
		"cluster-cidr":                {kind: list},
		"service-cidr":                {kind: list},
		"service-node-port-range":     {},
		"cluster-dns":                 {kind: list},
		"cluster-domain":              {},
		"tls-san":                     {kind: list},
		"advertise-address":           {},
		"disable":                     {kind: list},
		"disable-agent":               {kind: boolean},
		"disable-kube-proxy":          {kind: boolean},
		"disable-scheduler":           {kind: boolean},
		"write-kubeconfig":            {env: "K3S_KUBECONFIG_OUTPUT"},
		"write-kubeconfig-mode":       {env: "K3S_KUBECONFIG_MODE"},
		"kube-apiserver-arg":          {kind: list},
		"kube-controller-manager-arg": {kind: list},
		"kube-scheduler-arg":          {kind: list},
		"etcd-arg":                    {kind: list},
		"etcd-expose-metrics":         {kind: boolean},
		"etcd-snapshot-dir":           {},
		"etcd-disable-snapshots":      {kind: boolean},
		"etcd-snapshot-name":          {},
		"etcd-snapshot-schedule-cron": {},
		"etcd-snapshot-retention":     {kind: number},
		"etcd-s3":                     {kind: boolean},
		"etcd-s3-endpoint":            {},
		"etcd-s3-endpoint-ca":         {},
		"etcd-s3-skip-ssl-verify":     {kind: boolean},
		"etcd-s3-access-key":          {env: "AWS_ACCESS_KEY_ID"},
		"etcd-s3-secret-key":          {env: "AWS_SECRET_ACCESS_KEY"},
		"etcd-s3-session-token":       {env: "AWS_SESSION_TOKEN"},
		"etcd-s3-bucket":              {},
		"etcd-s3-bucket-lookup-type":  {},
		"etcd-s3-region":              {},
		"etcd-s3-folder":              {},
		"etcd-s3-insecure":            {kind: boolean},
		"etcd-s3-timeout":             {kind: duration},
		"etcd-s3-retention":           {kind: number},
		"system-default-registry":     {env: "K3S_SYSTEM_DEFAULT_REGISTRY"},

		"https-listen-port":                 {effect: inert},
		"supervisor-port":                   {effect: inert},
		"apiserver-port":                    {effect: inert},
		"advertise-port":                    {effect: inert},
		"tls-san-security":                  {kind: boolean, effect: inert},
		"flannel-backend":                   {effect: inert},
		"flannel-ipv6-masq":                 {kind: boolean, effect: inert},
		"flannel-external-ip":               {kind: boolean, effect: inert},
		"egress-selector-mode":              {effect: inert},
		"servicelb-namespace":               {effect: inert},
		"write-kubeconfig-group":            {effect: inert, env: "K3S_KUBECONFIG_GROUP"},
		"helm-job-image":                    {effect: inert},
		"kube-cloud-controller-manager-arg": {kind: list, effect: inert},
		"secrets-encryption":                {kind: boolean, effect: inert},
		"secrets-encryption-provider":       {effect: inert},
		"supervisor-metrics":                {kind: boolean, effect: inert},
		"embedded-registry":                 {kind: boolean, effect: inert},
		"default-local-storage-path":        {effect: inert},
		"disable-cloud-controller":          {kind: boolean, effect: inert},
		"disable-network-policy":            {kind: boolean, effect: inert},
		"disable-helm-controller":           {kind: boolean, effect: inert},
		"etcd-snapshot-reconcile-interval":  {effect: inert},
		"etcd-s3-proxy":                     {effect: inert},
		"etcd-s3-config-secret":             {effect: inert},
		"kine-tls":                          {kind: boolean, effect: inert},

		// Releases from 1.35 on cannot restore what they compressed (k3s-io/k3s#14526); the lab must not hide that.
		"etcd-snapshot-compress": {kind: boolean, effect: refused},

		"datastore-endpoint":         {effect: refused, env: "K3S_DATASTORE_ENDPOINT"},
		"datastore-cafile":           {effect: refused, env: "K3S_DATASTORE_CAFILE"},
		"datastore-certfile":         {effect: refused, env: "K3S_DATASTORE_CERTFILE"},
		"datastore-keyfile":          {effect: refused, env: "K3S_DATASTORE_KEYFILE"},
		"disable-apiserver":          {kind: boolean, effect: refused},
		"disable-controller-manager": {kind: boolean, effect: refused},
		"disable-etcd":               {kind: boolean, effect: refused},
	}

	// Of `k3s etcd-snapshot` alone. Source: k3s-io/k3s pkg/cli/cmds/etcd_snapshot.go.
	snapshotFlags = map[string]flag{
		"name":        {},
		"output":      {},
		"etcd-token":  {effect: inert},
		"etcd-server": {effect: refused},
	}

	snapshotAliases = map[string]string{
		"dir": "etcd-snapshot-dir", "snapshot-compress": "etcd-snapshot-compress", "snapshot-retention": "etcd-snapshot-retention",
		"o": "output", "t": "etcd-token", "s": "etcd-server",
	}

	aliases = map[string]string{
		"c": "config", "t": "token", "s": "server", "d": "data-dir", "i": "node-ip", "o": "write-kubeconfig", "l": "log",
		"kube-controller-arg": "kube-controller-manager-arg", "kube-cloud-controller-arg": "kube-cloud-controller-manager-arg",
	}
)
