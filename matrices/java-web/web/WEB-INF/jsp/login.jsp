<%@ include file="head.jspf" %>
<h1>登录 Login</h1>
<% if (request.getAttribute("wrong") != null) { %><p class="wrong">用户名或密码错误 Name or password is wrong</p><% } %>
<form method="post" action="<%= root %>/login"><%= csrf %>
<label>用户 Name <input name="name" required></label>
<label>密码 Password <input name="password" type="password" required></label>
<button>登录 Log in</button></form>
</body></html>
