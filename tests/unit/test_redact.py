# SPDX-License-Identifier: GPL-2.0-or-later
"""What is taken for a secret, and what is not; whatever argv is, in bounded time, nothing else goes."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwatchd.kernel.layout import SCHEMA, Flag
from execwatchd.redaction.own import check
from execwatchd.redaction.redactor import NAMES as NAMES_ONLY
from execwatchd.redaction.redactor import NONE, Redactor
from execwatchd.redaction.search import BYTES, CALL
from execwatchd.redaction.tables import BUILT_IN as TABLES
from execwatchd.stream.decode import Decoder, Record
from execwatchd.stream.encoder import redacted
from execwatchd.stream.exec_entry import encode, message
from tests.fakes.native import fields
from tests.fakes.records import Value, pack, values
from tests.unit.test_costs import instructions

BUILT_IN = Redactor(["default"])


def clean(record: Record) -> Record:
    return redacted(record, BUILT_IN)


# The secrets in it are between «», as they might stand on a command line.
SECRETS = r"""
# options
mysqldump --password=«hunter2» db
tool --password «hunter2» --verbose
tool --password='«correct horse, battery»' next
tool --passphrase «"a b; c"»
tool -password «hunter2»
tool --db-password=«x»
tool --ftp-pass «x»
tool --pass «hunter2»
tool --root-passwd=«x»
vault login --token=«s.abcdef»
kubeadm join host --token «abcdef.0123456789abcdef» --discovery-token-ca-cert-hash sha256:0011
tool --api-key «k1»
tool --apikey=«k1»
tool --api_key=«k1»
tool --client-secret «s1» --client-id me
tool --secret-key=«k1»
tool --oauth2-bearer «t1»
tailscale up --authkey=«tskey-1»
java -Djavax.net.ssl.trustStorePassword=«changeit» -jar x.jar
gpg --batch --passphrase "«secret words»" -c file
wget --user=me --http-password=«x» https://host/
tool --password=«$ecret»
tool --TOKEN=«x»
tool --token=«-x»
# assignments
env TOKEN=«x» cmd
env "DB_PASSWORD=«two words»" cmd --flag
env A_TOKEN=«x» B_SECRET=«y» PATH=/bin cmd
docker run -e TOKEN=«x» -e HOME=/root image
docker run -eTOKEN=«x» --env=DB_PASS=«y» image
docker build --build-arg=NPM_TOKEN=«x» .
kubectl create secret generic s --from-literal=password=«x» --from-literal=user=«me»
env AWS_ACCESS_KEY_ID=AKIA1 AWS_SECRET_ACCESS_KEY=«x» aws s3 ls
env PGPASSWORD=«x» MYSQL_PWD=«y» SSHPASS=«z» psql
mount -t cifs -o username=me,password=«x»,uid=1000 //host/share /mnt
helm install x --set auth.password=«x»
npm config set //registry.example/:_authToken=«x»
npm config set //registry.example/:_auth=«eDp5»
vault kv put secret/app password=«x»
psql "host=h dbname=d password=«x» sslmode=require"
sqlcmd "Server=h;Uid=sa;Pwd=«x»;"
tool --password2=«x» --secret1=«y»
keytool -storepass «x» -keypass «y»
redis-server --requirepass «x» --masterauth «y»
env DB_PWD=«x» ROOT_PW=«y» PASSWORD2=«z» cmd
tool --pwd «x» --pw=«y»
java -Ddb.pwd=«x» X
tool --private-key=«abcdef0123456789»
env APP_SIGNING_KEY=«abcdef0123» MASTER_KEY=«abcdef0123» cmd
env GITHUB_PAT=«x» cmd
curl -H "apikey: «k»" https://host/
curl -H "X-ApiKey: «k»" https://host/
curl -H "Token: «k»" https://host/
sh -c "DB_PWD=«x» cmd"
# a secret that is a word
aws configure set aws_secret_access_key «x»
aws configure set default.aws_secret_access_key «x»
npm config set //registry.example/:_authToken «x»
mysqladmin -u root password «x»
vault login «s.abcdef»
vault login -no-print «s.abcdef»
redis-cli -h host AUTH «x»
redis-cli AUTH «me» «x» -h host
redis-cli config set requirepass «x»
sh -c "aws configure set aws_secret_access_key «x» && mysqladmin password '«y z»'"
# a command line for a shell
sh -c "TOKEN=«x» curl https://host/"
sh -c "export DB_PASSWORD='«a b»'; echo done"
bash -lc "mysql -u root -p«hunter2» db < dump.sql"
bash -c "cd /tmp && mysqldump --opt -p'«hunter 2»' db | gzip > x.gz"
sh -c "sudo -E mysql -p«x» -e 'select 1; select 2'; mkdir -p foo"
sh -c "tool --password «x» && mkdir -p foo"
sh -c "tool --password=\"«x y»\" next"
sh -c "curl -sS 'https://host/?a=1&b=2' -u me:«x» -o out"
ssh host "mysql -p«x» db"
sh -c "sshpass -p «x» ssh -p 22 host"
sh -c "/usr/bin/mysql \
  -p«x»"
# mysql and others that join an option and its value
mysql -p«hunter2»
/usr/bin/mysql -u root -p«hunter2» db
mysqldump -uroot "-p«a b»" db
sudo mysql -p«x»
sudo -u mysql mysqldump -p«x» db
sudo -n -E mariadb -p«x»
docker exec -it db mysql -p«x»
docker exec mysql mysqladmin -p«123456» ping
mysql -p«a» -p«b»
7z a -p«x» out.7z file
7z a -hp«x» out.7z file
mysql -vp«x» db
mysql -Np«x» -e "select 1"
ionice -c3 mysqldump -p«x» db
ionice -c2 -n7 nice -n10 mysqldump -p«x» db
xargs -I{} mysql -p«x» -e {}
systemd-run --user mysql -p«x»
systemd-run --pty --wait --collect mysql -p«x»
stdbuf -oL mysql -p«x»
setsid -f mysql -p«x»
unshare -m mysql -p«x»
gdb --args mysql -p«x»
strace -f mysql -p«x»
/usr/bin/strace -f -o x mysql -p«x»
timeout -s KILL 10 mysql -p«x»
sh -c "ionice -c3 mysqldump -p«x» db"
sh -c "nice -n10 mysqldump -p«x» db"
twine upload -u me -p «x» dist/a
cqlsh -u me -p «x» host
mosquitto_pub -h host -u me -P «x» -t a -m b
mongodump -u me -p «x» --out /backup
redis-cli -h host -a «x» ping
zip -P «x» out.zip file
ldapsearch -D cn=admin -w «x» -b dc=x
useradd -p «$6$salt$hash» bob
plink -pw «x» host
xfreerdp /u:me /p:«x» /v:host
openssl enc -aes-256-cbc -k «x» -in a
openssl rsa -passin pass:«x» -in key.pem
openssl passwd -6 «x»
nmcli dev wifi connect Home password «x»
docker login -u me -p «x» registry.example
snmpget -v3 -A «x» -X «y» host
snmpwalk -v 2c -c «public» host
openssl req -passin=pass:«x» -in key.pem
ipmitool -H host -U admin -P «x» power status
htpasswd -bc /etc/htpasswd bob «x»
htpasswd -nbB bob «x»
wpa_passphrase Home «hunter22»
sshpass -p «x» ssh -p 22 host
sshpass -p«x» scp -P 2222 a b:
sshpass -v -p «x» ssh host
sshpass -P assword -p «x» ssh host
# user and secret in one
curl -u me:«x» https://host/
curl -sSLu me:«x:y» https://host/
curl -ume:«x» https://host/
curl --user me:«x» --proxy-user you:«y» https://host/
curl --user=me:«x» https://host/
http -a me:«x» https://host/
smbclient -U me%«x» //host/share
lftp -u me,«x» host
curl -b session=«x» https://host/
curl -x me:«x»@proxy:3128 https://host/
curl -xme:«x»@proxy:3128 https://host/
curl --proxy me:«x»@proxy https://host/
curl me:«x»@host/path
pip install --proxy me:«x»@proxy:3128 package
env http_proxy=me:«x»@proxy:3128 cmd
sh -c "curl -x me:«x»@proxy:3128 https://host/"
mysqlsh me:«x»@host
sqlplus -S me/«x»@db
git clone https://me:«x»@host/repo.git
git clone https://me:«p@ss»@host/repo.git
psql postgres://me:«x»@host:5432/db?sslmode=require
env DATABASE_URL=postgres://me:«x»@host/db cmd
env http_proxy=http://me:«x»@proxy:3128 cmd
redis-cli -u redis://:«x»@host:6379/0
curl "https://host/?user=me&access_token=«x»&page=2"
curl -d "user=me&password=«x»" https://host/
curl -d '{"user": "me", "password": "«x y»", "n": 1}' https://host/
sh -c "curl -d '{\"token\":\"«x»\"}' https://host/"
python3 -c "f({'user': 'me', 'password': '«x y»'}, n=1)"
# headers
curl -H "Authorization: Bearer «abc.def»" https://host/
curl -H "authorization: «abc»" https://host/
curl -H "Authorization: Basic «eDp5»" -H "Accept: text/html" https://host/
curl -H "Authorization: SSWS «00abc»" https://host/
curl -H "Authorization: GenieKey «eb24-3592»" https://host/
curl -H "Authorization: OAuth «abc»" https://host/
curl -H "Authorization: Splunk «abc»" https://host/
curl -H "Authorization: Bot «abc»" https://host/
curl -H "Authorization: JWT «abc»" https://host/
curl -H "Authorization: ApiToken «abc»" https://host/
curl -H "Authorization: Api-Key «abc»" https://host/
curl -H "Authorization: AWS «AKID:abc»" https://host/
curl -H "Authorization: SharedKey «account:abc»" https://host/
curl -H "Authorization: GoogleLogin «auth=abc»" https://host/
curl -H "Authorization: «PVEAPIToken=root@pam!t=abc»" https://host/
curl -H 'Authorization: Bearer "«abc»"' https://host/
curl -H 'Authorization: Digest «username="u", response="abc"»' https://host/
curl "-HAuthorization: Bearer «abc»" https://host/
curl --header="Authorization: Whatever «abc def»" https://host/
curl -H "X-Proxy-Authorization: Foo «abc»" https://host/
git -c "http.extraHeader=Authorization: Basic «eDp5»" fetch
sh -c "curl -H 'Authorization: SSWS «abc»' https://host/"
sh -c "curl -H \"Authorization: Digest «response=\\\"abc\\\"»\" https://host/"
sh -c "curl -H'Authorization: Bearer «abc»' https://host/"
sh -c "curl -HAuthorization:«abc» https://host/"
sh -c 'echo Authorization: OAuth «realm="a",» «response="abc"»'
curl -d '{"Authorization": "Bearer «abc»"}' https://host/
python3 -c "get(u, headers={'Authorization': 'Foo «abc»'})"
curl -H "X-Api-Key: «k»" https://host/
curl -H "PRIVATE-TOKEN: «k»" https://host/
curl -HX-Auth-Token:«k» https://host/
curl -H "Cookie: session=«abc»; other=«two»; third=1" https://host/
sh -c "curl -H 'Authorization: Bearer «abc»' https://host/"
curl -H "Ocp-Apim-Subscription-Key: «k»" https://host/
http https://host/ "Authorization:Bearer «abc»"
# text that says what it is
psql -c "ALTER USER me WITH PASSWORD '«x y»'"
mysql -e "CREATE USER me IDENTIFIED BY '«x»'"
mysql -e 'CREATE USER me IDENTIFIED BY "«x»"'
mysql -e "SET PASSWORD FOR me = '«x»'"
mysql -e "SET PASSWORD FOR 'me'@'h' = PASSWORD('«x»')"
mysql -e 'SET PASSWORD = "«x»"'
mysql -e "ALTER USER me IDENTIFIED WITH mysql_native_password BY '«x»'"
tool «ghp_0123456789abcdefghijABCDEFGHIJ012345»
git clone https://«ghp_0123456789abcdefghij»@github.com/x/y
tool --jwt «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sflKxwRJSMeKKF2QT4»
tool "-----BEGIN RSA PRIVATE KEY-----«MIIE...»-----END RSA PRIVATE KEY-----"
"""

PLAIN = r"""
ls -la
mkdir -p /a/b
mkdir -pv foo
ssh -p22 host
ssh -p 2222 user@host
scp -P 2222 a host:b
cp -pr a b
tar -xpf a.tar
ps -p 1234
sudo -u mysql mkdir -p /var/lib/mysql/x
sudo -u mysql cp -pr /a /b
runuser -u mysql -- cp -pr a b
mkdir /var/lib/mysql -pv
sudo --user mysql cp -pr a b
docker run --user mysql -p3306:3306 image
cmake -DWITH_TOKEN=ON -DUSE_SECRET=OFF .
tool --use-token=enabled
docker pull repo:tag@sha256:0123456789abcdef
docker pull host.example:5000/repo:tag@sha256:0123456789abcdef
scp me@host:path me@host:22 .
scp web:logo@2x.png .
gcloud projects add --member=user:me@host.example --member=serviceAccount:x@y.example
xdg-open mailto:me@host.example
npm install alias@npm:package@1.0 npm:package@1.0
mvn dependency:get -Dartifact=group:name:1.0@jar
git commit -m "Ask me@host.example: 5 questions"
ssh -o ProxyJump=me@host:22 host
ansible-playbook --private-key ~/.ssh/key --private-key=keys/deploy x.yml
tool --private-key key.pem --private-key=./key
env OLD_PWD=/home/me MY_PWD=./x cmd
singularity exec --pwd /work image cmd
git -c user.signingkey=0123456789ABCDEF commit
curl -b cookies.txt https://host/
vault login -method=userpass username=me
vault status
aws configure set region eu-west-1
npm config set registry https://host/
mysqladmin password
redis-cli config get requirepass
ls --color=auto -w 80 awk
awk -f x.awk
printf "%s:%s@%s" a b c
apt install curl zip unzip openssl mysql-client lftp
sqlplus / as sysdba
sqlplus @script.sql
mysql -h host -tv db
tool -o path=a@b:1
rsync -a host::module/x host:/y
docker run -v a:/b@c:ro image
kubectl get pod -o wide -l app:x
install -o mysql -g mysql -p a b
find / -user mysql -print
docker run --name mysql -p3306:3306 -d mysql:8
docker run -p 3306:3306 mysql
mysql -p
mysql -u root -p db
mysql --password
mysql --password --host=h
mysql -P 3306 -h host
sh -c "mysql -p\"$PASS\" db"
sh -c "mysql -p$PASS db; ssh -p22 host"
sh -c "sudo -u mysql cp -pr /a /b"
sh -c "mysql db && ssh -p22 host"
sh -c 'curl -H "Authorization: Bearer $TOKEN" https://host/'
sh -c 'curl -H "Authorization: Foo ${TOKEN}" https://host/'
sh -c 'curl -H "Authorization: Basic $(base64 -w0 /run/x)" https://host/'
python3 -c "get(u, headers={'Authorization': f'Bearer {token}'})"
ansible-playbook -e "password={{ lookup }}" x.yml
python3 -c "get(u, headers={'Authorization': 'Basic ' + credentials})"
grep -r Authorization: .
grep -r "-----BEGIN RSA PRIVATE KEY-----" .
echo "To reset the password for user 'me', ask"
sh -c 'curl -u "$USER:$PASS" https://host/'
sh -c 'TOKEN=$(cat /run/token) cmd'
sh -c 'TOKEN="${X}" cmd'
docker login --password-stdin registry
tool --password-file=/run/x
tool --password-file /run/x
tool --token-ttl 5m
tool --max-tokens 100
tool --no-password db
psql --no-password db
tool --ask-password now
tool --with-token now
tool --secret id=mysecret,src=/run/x
tool --token=/run/secrets/token
tool --password=
tool --password ""
tool --password=***
tool --password=file:/x
tool --token=auto
ffmpeg -i a -pass 1 -f null b
kubectl get secret foo
kubectl get secrets
vault token lookup
pass show web/site
passwd bob
env PWD=/home/me OLDPWD=/ cmd
env COMPASS=north BYPASS=lane TOKENIZERS_PARALLELISM=false cmd
env SSH_AUTH_SOCK=/tmp/x GPG_TTY=/dev/pts/0 cmd
env AWS_ACCESS_KEY_ID=AKIA1 cmd
env PASSWORD_STORE_DIR=/x cmd
git commit -m "Fix token: handle expiry"
git commit -m "Say why a --password is asked for"
git commit -m "Fix cookie: the jar was empty"
git clone https://host/repo.git
git clone https://me@host/repo.git
git clone git@host:repo.git
git clone ssh://git@host:22/repo.git
curl http://host:8080/path@x
curl http://[::1]:8080/
curl https://host:443/?q=a@b
curl -u me https://host/
curl -u : --negotiate https://host/
curl -o a:b -H "Host: x:1" https://host/
curl -H "Content-Type: application/json" https://host/
rsync -a --user x:y a b
docker run -u 1000:1000 image
docker run -v /a:/b -p 80:80 image
chown me:you file
http GET https://host/ a:b
openssl x509 -in cert.pem -noout
openssl rsa -passin file:/x -in key.pem
openssl passwd -6 -stdin
snmpget -v2c host
unzip -p a.zip
unrar x a.rar
7z x a.7z
redis-cli -h host ping
useradd -m bob
ssh -o PasswordAuthentication=no host
ssh -i key host
psql -c "SELECT password FROM users"
psql -c "SELECT x FROM t WHERE k IN ('password', 'name')"
sh -c TOKEN=$X
echo "Public-Key: (1024 bit)"
mysql -e "SHOW TABLES"
grep -r token= .
sed s/password=.*/x/ file
awk '{print $1}' token
python3 -c "import tokenize, secrets; print(secrets.token_hex(8))"
gcc -c -o token.o token.c
cat /etc/passwd
tool --author=me --key=f1 --keys=a
sshpass -e ssh host
sshpass -f /run/x ssh -p 22 host
smbclient -N //host/share
sk-e-t-c-h
tool task-list sk-1
"""


def lines(table: str) -> list[str]:
    joined = table.replace("\\\n", "\\\0")
    found = [line.replace("\0", "\n") for line in joined.splitlines() if line and not line.startswith("# ")]
    assert len(found) == len(set(found))
    return found


def argv(line: str) -> bytes:
    return b"".join(word.encode() + b"\0" for word in shlex.split(line))


def record(**changed: Value) -> Record:
    return Decoder()(pack(values(**changed)))


@pytest.mark.parametrize("line", lines(SECRETS))
def test_a_secret(line: str) -> None:
    marked = argv(line)
    before, clean, last = b"", b"", marked
    while "«".encode() in last:
        kept, _, last = last.partition("«".encode())
        secret, _, last = last.partition("»".encode())
        before, clean = before + kept + secret, clean + kept + b"***"
    found = redacted(record(argv=before + last), BUILT_IN)
    assert found.argv == clean + last
    assert fields(encode(found))["EXECWATCH_REDACTED"] == b"1"


@pytest.mark.parametrize("line", lines(PLAIN))
def test_no_secret(line: str) -> None:
    plain = record(argv=argv(line))
    assert clean(plain) is plain
    assert "EXECWATCH_REDACTED" not in fields(encode(plain))


def in_front_of(lines: list[str]) -> st.SearchStrategy[bytes]:
    """Arguments around one of the lines, or pieces of several."""
    words = st.sampled_from(sorted({word for line in lines for word in argv(line).split(b"\0")}))
    other = st.binary(max_size=12) | st.sampled_from([b" ", b"\n", b"'", b'"', b";", b"-c", b"$", b"="])
    pieces = st.lists(words | other, max_size=8)
    return st.lists(pieces.map(b"".join).map(lambda one: one.replace(b"\0", b"") + b"\0"), max_size=6).map(
        b"".join
    )


ARGV = in_front_of([line.replace("«", "").replace("»", "") for line in lines(SECRETS + PLAIN)])


@given(ARGV, st.booleans())
def test_whatever_it_is(whole: bytes, cut: bool) -> None:
    before = whole[:-1] if cut else whole
    found = clean(record(argv=before))
    assert found.argv.count(b"\0") == before.count(b"\0")
    assert len(found.argv) <= 4 * len(before)
    assert found.argv.split(b"\0")[0] == before.split(b"\0")[0] or b"***" in found.argv.split(b"\0")[0]
    encode(found)


@given(ARGV)
def test_a_hint_is_wherever_something_is_found(before: bytes) -> None:
    assert BUILT_IN.suspects(before) or BUILT_IN.clean(before) == before


SECRET = st.text("abcXYZ019+/@%^~_", min_size=6, max_size=20).map(lambda text: f"Q{text}Q".encode())


@given(
    SECRET,
    st.sampled_from(
        [b"--password=%b", b"--token\0%b", b"DB_PASSWORD=%b", b"-H\0Authorization: Bearer %b", b"--pass\0%b"]
    ),
    ARGV,
    ARGV,
)
def test_no_byte_of_it_is_in_the_entry(secret: bytes, form: bytes, before: bytes, after: bytes) -> None:
    planted = before + form % secret + b"\0" + after
    entry = encode(clean(record(argv=planted, argc=planted.count(b"\0"))))
    assert secret not in entry
    assert b"Hi user 501!" in entry


@pytest.mark.parametrize("line", [line for line in lines(SECRETS) if line.endswith("»")])
def test_one_that_is_cut(line: str) -> None:
    """Where argv ends in the middle of a secret it has no end that could be recognised."""
    whole = argv(line.replace("»", "") + "0123456789" * 2)
    start = whole.rindex("«".encode())
    before = whole.replace("«".encode(), b"")[: start + 8]
    found = clean(record(argv=before, flags=int(Flag.TRUNCATED_ARGV)))
    assert found.argv[start:] in (b"***", b"***'", b'***"')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"git\0clone\0https://me:hun", b"git\0clone\0https://me:***"),
        (b"sh\0-c\0mysql -p'a b", b"sh\0-c\0mysql -p'***"),
        (b"tool\0--password=a\nb\0", b"tool\0--password=***\0"),
        (b"tool\0--password=\xff\xfe\0", b"tool\0--password=***\0"),
        (b"tool\0-----BEGIN PRIVATE KEY-----\nMII\nE", b"tool\0-----BEGIN PRIVATE KEY-----***"),
        (b"TOKEN=x", b"TOKEN=***"),
    ],
)
def test_bytes(before: bytes, after: bytes) -> None:
    assert BUILT_IN.clean(before) == after


@pytest.mark.parametrize(
    ("own", "before", "after"),
    [
        ([r"--pin[= \n]([0-9]+)"], b"a\0--pin=12\0--pin\x0034\0", b"a\0--pin=***\0--pin\0***\0"),
        ([r"--pin=(.*)"], b"a\0--pin=12\0b\0", b"a\0--pin=***\0b\0"),
        ([r"^card-.*$"], b"a\0card-1 2\0b\0", b"a\0***\0b\0"),
        ([r"[0-9]{16}"], b"a\0x1234567890123456y\0", b"a\0x***y\0"),
        ([r"(a)|(b)|c"], b"abc\0d\0", b"***\0d\0"),
        ([r"(?s)one.*"], b"a\0one\0two\0", b"a\0***\0***\0"),
        ([r"(?i)geheim=(\S+)"], b"a\0GEHEIM=x\0", b"a\0GEHEIM=***\0"),
        ([r"ü(.)"], "a\0üx\0".encode(), "a\0ü***\0".encode()),
        ([r"(?P<a>1)", r"(?P<a>2)"], b"1\x002\0", b"***\0***\0"),
        ([r"nothing"], b"a\0--password=x\0", b"a\0--password=x\0"),
        (["default", r"nothing"], b"a\0--password=x\0", b"a\0--password=***\0"),
        ([r"pin=(\d+)", "default"], b"a\0--password=x\0pin=1\0", b"a\0--password=***\0pin=***\0"),
    ],
)
def test_patterns_of_ones_own(own: list[str], before: bytes, after: bytes) -> None:
    assert redacted(record(argv=before), Redactor(own)).argv == after


PIN = r"^--pin[=\n]([0-9]+)$"


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("sh -c 'tool --pin 1234'", "sh -c 'tool --pin ***'"),
        ("sh -c 'tool  --pin=1234 | x'", "sh -c 'tool  --pin=*** | x'"),
        ("sh -c \"tool '--pin=1234'\"", "sh -c \"tool '--pin=***'\""),
        ("sh -c \"tool --pin '1234'\"", "sh -c \"tool --pin '***'\""),
        ("sudo sh -c 'true; sh -c \"tool --pin 1234\"'", "sudo sh -c 'true; sh -c \"tool --pin ***\"'"),
        ("find . -exec sh -c 'tool --pin 1234 {}' ;", "find . -exec sh -c 'tool --pin *** {}' ;"),
        ("ssh host 'tool --pin 1234'", "ssh host 'tool --pin ***'"),
        ("echo 'tool --pin 1234'", "echo 'tool --pin 1234'"),
    ],
)
@pytest.mark.parametrize("more", [[], ["default"], ["never"]])
def test_patterns_of_ones_own_see_the_words_of_command_lines(line: str, clean: str, more: list[str]) -> None:
    redactor = Redactor([PIN, *more])
    found = redactor.clean(argv(line)) if redactor.suspects(argv(line)) else argv(line)
    assert found == argv(clean)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(x", "missing ): (x"),
        ("(?=x)", "invalid perl operator: (?="),
        (r"(a)\1", r"invalid escape sequence: \1"),
    ],
)
def test_a_bad_pattern(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        check(pattern)
    assert str(error.value) == reason


def test_the_message_and_every_field() -> None:
    found = clean(record(argv=b"mysql\0-phunter2\0db\0", argc=3))
    assert message(found) == "37926 501 bash Hi user 501!: mysql '-p***' db"
    entry = fields(encode(found))
    assert entry["EXECWATCH_ARGV"] == b'["mysql","-p***","db"]'
    assert entry["EXECWATCH_CMDLINE"] == b"mysql '-p***' db"
    assert entry["EXECWATCH_REDACTED"] == b"1"


def test_a_record_of_an_earlier_layout() -> None:
    earlier = SCHEMA.replace(" ancestors_len:I", "").replace(" session:I", "")
    found = clean(Decoder(earlier)(pack(values(argv=b"x\0--token=hunter2\0"), earlier)))
    assert found.argv == b"x\0--token=***\0"


def test_nothing_to_redact_with_is_no_redactor_at_all() -> None:
    assert redacted(record(argv=b"x\0--token=y\0"), Redactor([])).argv == b"x\0--token=y\0"


# What makes the most of each part's work.
PIECES = [
    b"--token=x\0", b"mysql -p", b"mysql\0", b"-px\0", b"a-", b"password", b"docker ", b"\"", b"'",
    b"\\", b"-c\0", b"sh\0-c\0a ", b"openssl\0passwd\0", b"eyJ.", b"://a:", b"identified by ", b"a", b"x=",
    b"Authorization: ", b"cookie: a=", b"token\0", b"sk-", b"-----BEGIN PRIVATE KEY-----",
    b"con\0mod\0password\0x\0",
    b"-ABbC\0", b"a=b;", b"-exec\0mysql\0", b"A=b\0", b";a", b"$(x ", b"<<a\n", b"curl a\0", b"\\n",
    b"sudo\0", b"\"password\":\"x\",",
    b"://a:b@", b"-b\0a=b;c=d\0", b"x\0curl a\0",
]  # fmt: skip
BEGINS = [
    b"", b"curl\0", b"nmcli\0", b"vault\0kv\0put\0", b"mysql\0-", b"find\0", b"env\0mysql\0",
    b"ssh\0h\0curl\0",
    b"sh\0-c\0curl ", b"sh\0-c\0curl $'",
]  # fmt: skip
NAMES = sorted({name.encode().partition(b" ")[0] for name in TABLES.commands})
ALL_NAMES = b" ".join(NAMES) + b" "
MOST = 36_000  # instructions of the interpreter for 4 KiB


@pytest.mark.parametrize("piece", [*PIECES, ALL_NAMES, ALL_NAMES.replace(b" ", b"\0")])
def test_its_work_is_bounded(piece: bytes) -> None:
    """However its 4 KiB are chosen; a command line of a few words has less to do."""
    for begin in BEGINS:
        argv = begin + (piece * 4096)[: 4096 - len(begin)]
        assert instructions(lambda argv=argv: BUILT_IN.clean(argv)) <= MOST, begin  # type: ignore[misc]
        assert BUILT_IN.clean(argv).count(b"\0") == argv.count(b"\0")


@given(
    st.lists(st.sampled_from(PIECES + NAMES + [b" ", b"\0", b";", b"/"]), min_size=1, max_size=40), st.data()
)
def test_its_work_is_bounded_for_any_mixture(pieces: list[bytes], data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([50, 500, 4096]))
    argv = (b"".join(pieces) * size)[:size]
    assert instructions(lambda: BUILT_IN.clean(argv)) <= MOST


@pytest.mark.parametrize("piece", [b"a", b"ab", b"x\0", b"sh\0-c\0a a;"])
def test_so_it_is_with_patterns_of_ones_own(piece: bytes) -> None:
    redactor = Redactor([r"(a+)+$", r"(a|a)*b|a", r"(x?){30}x{30}"])
    more = 2 * 3 * (CALL + 4096 // BYTES)
    assert instructions(lambda: redactor.clean((piece * 4096)[:4096])) <= MOST + more


ARGUMENTS = b"sudo\0-u\0me\0docker\0login\0-ume\0--password=x\0TOKEN=y\0h\0-\0"


def test_no_arguments() -> None:
    redactor = Redactor(["default"], arguments=NONE)
    assert redactor.clean(ARGUMENTS) == b"sudo\0" + b"***\0" * 9
    assert redactor.suspects(ARGUMENTS)
    assert not redactor.suspects(b"ls\0")
    assert redactor.clean(b"sudo\0-u\0m") == b"sudo\0***\0***"


@pytest.mark.parametrize("wanted", [["default"], []])
def test_names_of_arguments(wanted: list[str]) -> None:
    redactor = Redactor(wanted, arguments=NAMES_ONLY)
    assert redactor.suspects(ARGUMENTS)
    assert redactor.clean(ARGUMENTS) == (
        b"sudo\0-u\0***\0docker\0login\0-u***\0--password=***\0TOKEN=***\0***\0-\0"
    )
    assert redactor.clean(b"sh\0-c\0secret x\0") == b"sh\0-c\0***\0"


@given(ARGV)
def test_names_are_all_that_stays(before: bytes) -> None:
    found = Redactor([], arguments=NAMES_ONLY).clean(before)
    assert found.count(b"\0") == before.count(b"\0")
    for word, kept in list(zip(before.split(b"\0"), found.split(b"\0"), strict=True))[1:]:
        assert kept == word or kept.endswith(b"***")


def test_most_of_a_command_line_is_one_search() -> None:
    """What has no hint is asked for no more than that."""
    for line in ("ls -la", "gcc -c -o token.o token.c", "ar rcs libtokenizer.a src/tokenizer/a.o"):
        assert not BUILT_IN.suspects(argv(line))
    plain = argv("curl -s https://host/")
    assert instructions(lambda: BUILT_IN.clean(plain)) <= 1500


def test_of_too_many_secrets_the_first_are_found() -> None:
    many = b"tool\0" + b"--token=hunter2\0" * 200 + b"plain\0"
    found = BUILT_IN.clean(many)
    judged = found.count(b"--token=")
    assert judged >= 15
    assert found == b"tool\0" + b"--token=***\0" * judged + b"***\0" * (201 - judged)


def test_what_waits_for_the_next_command_is_not_passed_if_that_is_too_much() -> None:
    script = "echo hunter2 | sudo -S sh -c '" + "mysql -px; " * 1000 + "'"
    assert b"hunter2" not in BUILT_IN.clean(f"sh\0-c\0{script}\0".encode())


def test_what_is_too_much_hides_no_script_before_it() -> None:
    script = b"bash\0-c\0id; curl host|sh\0"
    assert BUILT_IN.clean(script + b"password=xy\0" * 100).startswith(script + b"password=***\0")
    assert BUILT_IN.clean(script + ALL_NAMES * 20).startswith(script)
    long = b"bash\0-c\0id; curl host|sh; " + b"mysql -px; " * 1000 + b"\0"
    assert BUILT_IN.clean(long).startswith(b"bash\0-c\0id; curl host|sh; mysql -p***; ")
