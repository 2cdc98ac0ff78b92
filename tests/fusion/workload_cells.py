"""The workloads of the design as people write them in notebooks: some cells each, in plain NumPy and pandas."""

from __future__ import annotations

IMPORTS = "import numpy as np\nimport pandas as pd"

BLACK_SCHOLES = [
    IMPORTS + "\nfrom scipy.special import erf, ndtr",
    """rng = np.random.default_rng(1)
n = 4_000
price, strike = rng.uniform(10, 50, n), rng.uniform(10, 50, n)
t = rng.uniform(1, 2, n); rate = rng.uniform(0.01, 0.05, n); vol = rng.uniform(0.1, 0.5, n)
price[:3], strike[:3]""",
    """d1 = (np.log(price/strike) + (rate + vol*vol/2)*t) / (vol*np.sqrt(t)); d2 = d1 - vol*np.sqrt(t)
e = strike*np.exp(-rate*t); call = price*ndtr(d1) - e*ndtr(d2); put = e*ndtr(-d2) - price*ndtr(-d1)""",
    """parity = call - put - (price - strike*np.exp(-rate*t))
print("parity holds:", np.allclose(parity, 0))
assert abs(parity).max() < 1e-10""",
    """def price_with_erf(s, k, t, r, v):
    invsqrt2 = 1.0 / np.sqrt(2.0)
    d1 = (np.log(s / k) + (r + v**2 / 2) * t) / (v * t**0.5)
    d2 = d1 - v * t**0.5
    n1, n2 = 0.5 + erf(d1 * invsqrt2) * 0.5, 0.5 + erf(d2 * invsqrt2) * 0.5
    return s * n1 - k * np.exp(-r * t) * n2

again = price_with_erf(price, strike, t, rate, vol)
np.abs(again - call).max() < 1e-12""",
    """options = pd.DataFrame({"price": price, "strike": strike, "call": call, "put": put})
options["moneyness"] = np.where(options.price > options.strike, "in", "out")
options["cheap"] = options["call"] < 1
print(options.head())
options.groupby("moneyness").agg({"call": "mean", "put": "mean", "cheap": "sum"})""",
]

HAVERSINE = [
    IMPORTS,
    """rng = np.random.default_rng(2)
hotels = pd.DataFrame({"latitude": rng.uniform(40.5, 45, 600), "longitude": rng.uniform(-79, -72, 600),
                       "rate": rng.gamma(4, 40, 600).round(2)})
hotels.head()""",
    """def haversine(lat1, lon1, lat2, lon2):
    miles_constant = 3959
    lat1, lon1, lat2, lon2 = map(np.deg2rad, [lat1, lon1, lat2, lon2])
    dlat = lat2 - lat1
    dlon = lon2 - lon1
    a = np.sin(dlat/2)**2 + np.cos(lat1) * np.cos(lat2) * np.sin(dlon/2)**2
    c = 2 * np.arcsin(np.sqrt(a))
    mi = miles_constant * c
    return mi""",
    """hotels["distance"] = haversine(40.671, -73.985, hotels["latitude"], hotels["longitude"])
hotels.head()""",
    """by_values = haversine(40.671, -73.985, hotels["latitude"].values, hotels["longitude"].values)
print(np.allclose(by_values, hotels.distance))""",
    """distance_list = []
for i in range(0, 20):
    d = haversine(40.671, -73.985, hotels.iloc[i]["latitude"], hotels.iloc[i]["longitude"])
    distance_list.append(d)""",
    """by_rows = hotels.head(20).apply(lambda row: haversine(40.671, -73.985, row.latitude, row.longitude), axis=1)
by_rows.max()""",
    """near = hotels[hotels.distance < 100].sort_values("distance").head(10)
near[["distance", "rate"]].round(1)""",
]

CRIME_INDEX = [
    IMPORTS,
    """rng = np.random.default_rng(3)
df = pd.DataFrame({"people": rng.uniform(0, 1e6, 5000), "adults": rng.uniform(0, 5e5, 5000),
                   "robberies": rng.uniform(0, 1000, 5000)})
df.describe()""",
    """big = df[df.people > 500_000]; ci = (big.people + 2*big.adults - 2000*big.robberies) / 1e5
ci = ci.mask(ci >= 0.02, 0.032); ci.mask(ci < 0.01, 0.005).sum()""",
    """stats = df[["people", "adults", "robberies"]].values
predictions = np.dot(stats, np.array([1.0, 2.0, -2000.0])) / 100000.0
df["index"] = predictions
df.loc[df["index"] >= 0.02, "index"] = 0.032
df.loc[df["index"] < 0.01, "index"] = 0.005
total = df["index"].sum()
print(f"{total:.6f}")
df["index"].value_counts()""",
]

CRIME_FULL = [
    IMPORTS,
    """rng = np.random.default_rng(4)
df = pd.DataFrame({"people": rng.uniform(0, 1e6, 5000), "adults": rng.uniform(0, 5e5, 5000),
                   "robberies": rng.uniform(0, 1000, 5000),
                   "state": rng.choice(["CA", "NY", "TX", "WA", "OH"], 5000)})""",
    """big = df[df.people > 500_000]
ci = np.exp((big.people + 2*big.adults - 2000*big.robberies) / 1e6)
ci = (ci - ci.mean()) / ci.std()
by_state = ci.groupby(big.state).sum()
by_state.sort_values(ascending=False)""",
    """big = big.assign(index=ci)
summary = big.groupby("state").agg(cities=("people", "size"), people=("people", "sum"), worst=("index", "max"))
summary["share"] = summary.people / summary.people.sum()
print(summary.round(3))
summary.loc[summary.share.idxmax()]""",
]

FILTER_GROUP = [
    IMPORTS,
    """rng = np.random.default_rng(5)
df = pd.DataFrame({"A": rng.uniform(size=8000), "B": rng.uniform(size=8000), "K": rng.integers(0, 100, 8000)})""",
    """few = df[df.B > 0.5]
by_key = (few.A * (1 - few.B)).groupby(few.K).sum()
by_key.head()""",
    """df["value"] = df.A * (1 - df.B)
other = df[df["B"] > 0.5].groupby("K")["value"].sum()
print((other - by_key).abs().max() < 1e-12)
top = other.nlargest(5)
top""",
]

CLEANING = [
    IMPORTS + "\nimport io",
    """rng = np.random.default_rng(6)
zips = ["11432", "10001-1234", "11209", "00000", "N/A", "NO CLUE", "77056", "0", "000000", "11549-3650", "83", ""]
rows = "\\n".join(f"{k},{z},{c}" for k, (z, c) in enumerate(
    zip(rng.choice(zips, 700), rng.choice(["Noise - Street", "Rodent", "Blocked Driveway"], 700))))
na_values = ["NO CLUE", "N/A", "0"]
requests = pd.read_csv(io.StringIO("Unique Key,Incident Zip,Complaint Type\\n" + rows),
                       na_values=na_values, dtype={"Incident Zip": str})
requests.head()""",
    """requests["Incident Zip"].unique()""",
    """rows_with_dashes = requests["Incident Zip"].str.contains("-").fillna(False)
print(len(requests[rows_with_dashes]))
requests[rows_with_dashes].head(3)""",
    """long_zip_codes = requests["Incident Zip"].str.len() > 5
requests["Incident Zip"][long_zip_codes].unique()""",
    """requests["Incident Zip"] = requests["Incident Zip"].str.slice(0, 5)
zero_zips = requests["Incident Zip"] == "00000"
requests.loc[zero_zips, "Incident Zip"] = np.nan
unique_zips = requests["Incident Zip"].unique()
unique_zips""",
    """zips = requests["Incident Zip"]
is_close = zips.str.startswith("0") | zips.str.startswith("1")
is_far = ~(is_close) & zips.notnull()
requests[is_far][["Incident Zip", "Complaint Type"]].sort_values("Incident Zip", kind="stable").head()""",
    """def fix_zip_codes(zips):
    zips = zips.str.slice(0, 5)
    return zips.mask(zips == "00000")

fixed = fix_zip_codes(requests["Incident Zip"])
complaint_counts = requests["Complaint Type"].value_counts()
noise = requests[requests["Complaint Type"] == "Noise - Street"]
print(complaint_counts[:2])
noise["Incident Zip"].value_counts(normalize=True).round(3)""",
]

BIRTHS = [
    IMPORTS,
    """rng = np.random.default_rng(7)
stems = np.array(["Mary", "Anna", "Leslie", "Lesley", "Leslee", "Lesli", "Lesly", "John", "Emma", "Noah", "Ada"])
pieces = []
for year in range(1950, 1962):
    for sex in ["F", "M"]:
        frame = pd.DataFrame({"name": stems, "sex": sex, "births": rng.integers(5, 4000, len(stems)) * 300})
        frame["births"] += len(pieces) * len(stems) + np.arange(len(stems))
        frame["year"] = year
        pieces.append(frame)
names = pd.concat(pieces, ignore_index=True)
names.head()""",
    """total_births = names.pivot_table("births", index="year", columns="sex", aggfunc="sum")
total_births.tail()""",
    """def add_prop(group):
    group["prop"] = group["births"] / group["births"].sum()
    return group

names["prop"] = names.births / names.groupby(["year", "sex"]).births.transform("sum")
print(np.allclose(names.groupby(["year", "sex"])["prop"].sum(), 1))""",
    """top = names.sort_values("births", ascending=False, kind="stable").groupby(["year", "sex"]).head(8)
top1000 = top.reset_index(drop=True)
boys, girls = top1000[top1000.sex == "M"], top1000[top1000.sex == "F"]
counts = {}
for sex, group in top1000.groupby("sex"):
    counts[sex] = len(group)
counts""",
    """df = boys[boys.year == 1955]
prop_cumsum = df["prop"].sort_values(ascending=False).cumsum()
int(prop_cumsum.searchsorted(0.5)) + 1""",
    """last_letters = names["name"].map(lambda x: x[-1])
last_letters.name = "last_letter"
table = names.pivot_table("births", index=last_letters, columns=["sex", "year"], aggfunc="sum")
subtable = table.reindex(columns=[1950, 1955, 1961], level="year")
letter_prop = subtable / subtable.sum()
letter_prop.round(3)""",
    """all_names = pd.Series(top1000["name"].unique())
lesley_like = all_names[all_names.str.contains("Lesl")]
filtered = top1000[top1000["name"].isin(lesley_like)]
filtered.groupby("name")["births"].sum()""",
    """table = filtered.pivot_table("births", index="year", columns="sex", aggfunc="sum")
table = table.div(table.sum(axis="columns"), axis="index")
table.tail()""",
    """top = names.sort_values("births", ascending=False).groupby(["year", "sex"]).head(1000)
les = top[top.name.str.lower().str.contains("lesl")]
table = les.pivot_table("births", index="year", columns="sex", aggfunc="sum"); table.div(table.sum(axis=1), axis=0)""",
]

MOVIELENS = [
    IMPORTS,
    """rng = np.random.default_rng(8)
users = pd.DataFrame({"user_id": np.arange(200), "gender": rng.choice(["F", "M"], 200),
                      "age": rng.integers(18, 60, 200)})
movies = pd.DataFrame({"movie_id": np.arange(40), "title": [f"Movie {k:02d}" for k in range(40)]})
ratings = pd.DataFrame({"user_id": rng.integers(0, 200, 6000), "rating": rng.integers(1, 6, 6000),
                        "movie_id": np.minimum(rng.geometric(0.08, 6000), 40) - 1})""",
    """data = pd.merge(pd.merge(ratings, users), movies)
data.head()""",
    """mean_ratings = data.pivot_table("rating", index="title", columns="gender", aggfunc="mean")
print(mean_ratings.head(5))""",
    """ratings_by_title = data.groupby("title").size()
active_titles = ratings_by_title.index[ratings_by_title >= 250]
mean_ratings = mean_ratings.loc[active_titles]
top_female_ratings = mean_ratings.sort_values("F", ascending=False)
top_female_ratings.head()""",
    """mean_ratings["diff"] = mean_ratings["M"] - mean_ratings["F"]
sorted_by_diff = mean_ratings.sort_values("diff")
sorted_by_diff[::-1].head()""",
    """rating_std_by_title = data.groupby("title")["rating"].std()
rating_std_by_title = rating_std_by_title.loc[active_titles]
rating_std_by_title.sort_values(ascending=False)[:10]""",
    """young = data[data.age < 30].merge(movies, on="movie_id", how="left", suffixes=("", "_again"))
(young.title == young.title_again).all(), len(young)""",
]

TPC_H = [
    IMPORTS,
    """rng = np.random.default_rng(9)
n = 6000
lineitem = pd.DataFrame({
    "l_quantity": rng.integers(1, 51, n).astype(float), "l_extendedprice": rng.uniform(900, 105_000, n),
    "l_discount": rng.integers(0, 11, n) / 100, "l_tax": rng.integers(0, 9, n) / 100,
    "l_returnflag": rng.choice(["A", "N", "R"], n), "l_linestatus": rng.choice(["F", "O"], n),
    "l_shipdate": pd.Timestamp("1992-01-01") + pd.to_timedelta(rng.integers(0, 2500, n), unit="D"),
})""",
    """sel = lineitem[lineitem.l_shipdate <= pd.Timestamp("1998-09-02")].copy()
sel["disc_price"] = sel.l_extendedprice * (1 - sel.l_discount)
sel["charge"] = sel.l_extendedprice * (1 - sel.l_discount) * (1 + sel.l_tax)
q1 = sel.groupby(["l_returnflag", "l_linestatus"]).agg(
    sum_qty=("l_quantity", "sum"), sum_base_price=("l_extendedprice", "sum"), sum_disc_price=("disc_price", "sum"),
    sum_charge=("charge", "sum"), avg_qty=("l_quantity", "mean"), avg_price=("l_extendedprice", "mean"),
    avg_disc=("l_discount", "mean"), count_order=("l_quantity", "count"))
q1 = q1.reset_index().sort_values(["l_returnflag", "l_linestatus"])
q1""",
    """start, end = pd.Timestamp("1994-01-01"), pd.Timestamp("1995-01-01")
few = lineitem[(lineitem.l_shipdate >= start) & (lineitem.l_shipdate < end) & lineitem.l_discount.between(0.05, 0.07)
               & (lineitem.l_quantity < 24)]
q6 = (few.l_extendedprice * few.l_discount).sum()
print(f"{q6:,.2f}")
pd.DataFrame({"revenue": [q6]})""",
    """lineitem["year"] = lineitem.l_shipdate.dt.year
lineitem.groupby("year").l_extendedprice.sum() / 1e6""",
]

N_BODY = [
    IMPORTS,
    """rng = np.random.default_rng(10)
n, dt, eps = 40, 0.01, 0.05
mass = rng.uniform(0.5, 1.5, n)
pos = rng.normal(size=(n, 3)); vel = rng.normal(size=(n, 3)) * 0.1
vel -= (mass[:, None] * vel).sum(axis=0) / mass.sum()""",
    """def acceleration(pos, mass):
    d = pos[None, :, :] - pos[:, None, :]
    inv_r3 = ((d**2).sum(axis=2) + eps**2) ** -1.5
    return (d * inv_r3[:, :, None] * mass[None, :, None]).sum(axis=1)

def energy(pos, vel, mass):
    d = pos[None, :, :] - pos[:, None, :]
    r = np.sqrt((d**2).sum(axis=2) + eps**2)
    pairs = mass[:, None] * mass[None, :] / r
    return 0.5 * (mass * (vel**2).sum(axis=1)).sum() - (pairs.sum() - np.trace(pairs)) / 2""",
    """before = energy(pos, vel, mass)
acc = acceleration(pos, mass)
track = []
for step in range(12):
    vel += 0.5 * dt * acc
    pos += dt * vel
    acc = acceleration(pos, mass)
    vel += 0.5 * dt * acc
    track.append(pos[0].copy())
track = np.array(track)
track[-1]""",
    """after = energy(pos, vel, mass)
print(abs((after - before) / before) < 0.05)
momentum = (mass[:, None] * vel).sum(axis=0)
assert np.abs(momentum).max() < 1e-10""",
]

LOGISTIC = [
    IMPORTS + "\nfrom scipy.special import expit",
    """rng = np.random.default_rng(11)
images = rng.integers(0, 256, (300, 64), dtype=np.uint8)
truth = rng.normal(0, 1, 64)
labels = ((images / 255.0 - 0.5) @ truth > 0).astype(np.float64)
images.shape, labels.mean()""",
    """pixels = images.astype("float64") / 255
mu, sigma = pixels.mean(axis=0), pixels.std(axis=0)
white = (pixels - mu) / (sigma + 1e-6)
print(white.mean().round(6), white.std().round(3))""",
    """weights, bias = np.zeros(white.shape[1]), 0.0
losses = []
for epoch in range(20):
    p = expit(white @ weights + bias)
    loss = -(labels * np.log(p + 1e-12) + (1 - labels) * np.log(1 - p + 1e-12)).mean()
    losses.append(float(loss))
    error = p - labels
    weights -= 0.5 * (white.T @ error / len(labels))
    bias -= 0.5 * error.mean()
    if epoch % 5 == 0:
        print(f"epoch {epoch:2d}: {loss:.4f}")""",
    """predicted = (expit(white @ weights + bias) > 0.5).astype(int)
accuracy = (predicted == labels).mean()
confusion = pd.crosstab(pd.Series(labels, name="is"), pd.Series(predicted, name="said"))
accuracy""",
]

PAGERANK = [
    IMPORTS,
    """rng = np.random.default_rng(12)
n, m = 120, 900
source, target = rng.integers(0, n, m), rng.integers(0, n, m)
degree = np.bincount(source, minlength=n)
np.flatnonzero(degree == 0)""",
    """damping, tol = 0.85, 1e-10
rank = np.full(n, 1 / n)
for step in range(100):
    share = np.where(degree > 0, rank / np.maximum(degree, 1), 0.0)
    new = np.bincount(target, weights=share[source], minlength=n)
    dangling = rank[degree == 0].sum() / n
    new = (1 - damping) / n + damping * (new + dangling)
    delta = np.abs(new - rank).sum()
    rank = new
    if delta < tol:
        break
print(step, rank.sum().round(12))""",
    """links = np.zeros((n, n))
np.add.at(links, (target, source), 1)
matrix = links / np.maximum(degree, 1)
matrix[:, degree == 0] = 1 / n
dense = np.ones(n) / n
for again in range(60):
    dense = (1 - damping) / n + damping * matrix @ dense
np.allclose(dense, rank, atol=1e-4)""",
    """order = np.argsort(-rank, kind="stable")[:10]
best = pd.DataFrame({"page": order, "rank": rank[order], "links": degree[order]})
best.head(3)""",
]

VECTOR_SUM = [
    IMPORTS,
    "x = np.random.default_rng(13).normal(1, 1, 50_000); ones = np.ones(50_000, np.int32)",
    """total = x.sum()
many = ones.sum()
print(many, f"{total:.6f}")
total / many""",
    """z = x + ones
z.sum() - total""",
]

MAP_REDUCE = [
    IMPORTS,
    "x = np.random.default_rng(14).uniform(0, 2, 40_000)",
    "y = np.exp(-x*x) + 2*x + 1\nanswer = y.sum(), y.max()\nanswer",
    """inside = np.random.default_rng(15).random((20_000, 2))
pi = 4 * np.mean((inside**2).sum(axis=1) <= 1)
print(pi)
counts, edges = np.histogram(x, bins=8, range=(0, 2))
counts""",
    """words = pd.Series("the quick brown fox jumps over the lazy dog the end".split())
words.map(len).groupby(words).sum().sort_index()""",
]

# the cells of section 2.3, on tables like theirs
EXAMPLES = [
    IMPORTS + "\nfrom scipy.special import ndtr",
    """rng = np.random.default_rng(16)
df = pd.DataFrame({key: rng.uniform(0, 1e6, 3000) for key in ("people", "adults", "robberies")})
ranges = (10, 50), (10, 50), (1, 2), (0.01, 0.05), (0.1, 0.5)
price, strike, t, rate, vol = (rng.uniform(*ends, 3000) for ends in ranges)
names = pd.DataFrame({"name": rng.choice(["Leslie", "Lesley", "Ann", "Bob"], 400), "sex": rng.choice(["F", "M"], 400),
                      "year": rng.integers(1950, 1960, 400), "births": rng.permutation(400)})
requests = pd.DataFrame({"Incident Zip": rng.choice(["10001-1234", "00000", "11209"], 300)})
original = requests""",
    """big = df[df.people > 500_000]; ci = (big.people + 2*big.adults - 2000*big.robberies) / 1e5
ci = ci.mask(ci >= 0.02, 0.032); ci.mask(ci < 0.01, 0.005).sum()""",
    """d1 = (np.log(price/strike) + (rate + vol*vol/2)*t) / (vol*np.sqrt(t)); d2 = d1 - vol*np.sqrt(t)
e = strike*np.exp(-rate*t); call = price*ndtr(d1) - e*ndtr(d2); put = e*ndtr(-d2) - price*ndtr(-d1)""",
    """top = names.sort_values("births", ascending=False).groupby(["year", "sex"]).head(1000)
les = top[top.name.str.lower().str.contains("lesl")]
table = les.pivot_table("births", index="year", columns="sex", aggfunc="sum"); table.div(table.sum(axis=1), axis=0)""",
    """z = requests["Incident Zip"].str.slice(0, 5)
requests["Incident Zip"] = z.mask(z == "00000"); requests["Incident Zip"].unique()""",
]

WORKLOADS = {
    "black_scholes": BLACK_SCHOLES, "haversine": HAVERSINE, "crime_index": CRIME_INDEX, "crime_full": CRIME_FULL,
    "filter_group": FILTER_GROUP, "cleaning": CLEANING, "births": BIRTHS, "movielens": MOVIELENS, "tpc_h": TPC_H,
    "n_body": N_BODY, "logistic": LOGISTIC, "pagerank": PAGERANK, "vector_sum": VECTOR_SUM, "map_reduce": MAP_REDUCE,
    "examples": EXAMPLES,
}  # fmt: skip
